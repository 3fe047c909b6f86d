"""Drawing from a distribution, with and without its gradient."""

import jax
import jax.numpy as jnp

from vae_jax.distributions.base import Distribution
from vae_jax.types import Array, Key


def reparameterise(key: Key, q: Distribution) -> Array:
  """Draws z = g(phi, eps), eps ~ p(eps), differentiable in phi.

  The families without such a g that `jax.random` differentiates implicitly
  (Gamma, Beta, and Student-t in df) serve as well.

  Args:
    key: consumed.
    q: the distribution whose parameters are phi.

  Returns:
    z, of the event's shape.

  Raises:
    TypeError: `q` is discrete; or, once it is differentiated, a parameter
      that its draws are not differentiable in.

  References:
    Kingma and Welling 2014, Auto-Encoding Variational Bayes, eq. (4);
    Figurnov, Mohamed and Mnih 2018, Implicit Reparameterization Gradients,
    eq. (5).
  """
  return q.for_pathwise().draw(key)


def reparameterise_many(
  key: Key, q: Distribution, num_samples: int, *, antithetic: bool = False
) -> Array:
  """Draws `num_samples` of z, `[num_samples, *event]`, differentiable in phi.

  Args:
    key: consumed.
    q: the distribution.
    num_samples: at least 1.
    antithetic: draw pairs g(phi, eps), g(phi, eps'), where eps' mirrors eps
      and has the same law; independent draws otherwise.

  Raises:
    ValueError: `num_samples` is below 1, or odd where pairs are wanted.
    TypeError: as `reparameterise`, or there is no antithetic noise.

  References:
    Hammersley and Morton 1956, A new Monte Carlo technique.
  """
  check_num_samples(num_samples, antithetic)
  if not antithetic:
    keys = jax.random.split(key, num_samples)
    return jax.vmap(reparameterise, (0, None))(keys, q)
  q = q.for_pathwise()
  keys = jax.random.split(key, num_samples // 2)
  eps = jax.vmap(q.noise)(keys)
  pairs = jnp.concatenate([eps, jax.vmap(q.mirror)(eps)])
  return jax.vmap(q.transform)(pairs)


def check_num_samples(num_samples: int, antithetic: bool = False) -> None:
  """Raises `ValueError` for a number of draws that there cannot be."""
  if num_samples < 1:
    raise ValueError(f'num_samples is {num_samples}: must be at least 1')
  if antithetic and num_samples % 2:
    raise ValueError(
      f'num_samples is {num_samples}: antithetic pairs need an even number'
    )


def sample(key: Key, q: Distribution) -> Array:
  """Draws one event that no gradient passes through."""
  return jax.lax.stop_gradient(q.sample(key))


def sample_many(
  key: Key, q: Distribution, num_samples: int, *, antithetic: bool = False
) -> Array:
  """Draws as `reparameterise_many`, from any family and without gradient."""
  check_num_samples(num_samples, antithetic)
  if antithetic:
    q = jax.lax.stop_gradient(q)
    return reparameterise_many(key, q, num_samples, antithetic=True)
  return jax.vmap(sample, (0, None))(jax.random.split(key, num_samples), q)
