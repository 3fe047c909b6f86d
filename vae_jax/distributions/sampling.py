"""Draws from a distribution, with and without a pathwise gradient."""

import jax
import jax.numpy as jnp

from vae_jax.distributions.base import Distribution, Event
from vae_jax.types import Key


def reparameterise(key: Key, q: Distribution) -> Event:
  """Draws z = g(phi, eps), eps ~ p(eps), differentiable in phi.

  Gamma, Beta and Student-t in df have no such g: their draws are
  differentiated implicitly.

  Args:
    key: consumed.
    q: the distribution whose parameters are phi.

  Returns:
    z, of the event's shape.

  Raises:
    TypeError: `q` is discrete; or, on differentiation, draws are not
      differentiable in a parameter.

  References:
    Kingma and Welling 2014, Auto-Encoding Variational Bayes, eq. (4);
    Figurnov, Mohamed and Mnih 2018, Implicit Reparameterization Gradients,
    eq. (5).

  Examples:
    >>> draw = lambda loc: vj.reparameterise(
    ...   jax.random.key(0), vj.Normal(loc, 0.0)
    ... )
    >>> print(jax.grad(draw)(3.0))  # dz/dloc = 1 for every eps
    1.0
  """
  return q.for_pathwise().draw(key)


def reparameterise_many(
  key: Key, q: Distribution, num_samples: int, *, antithetic: bool = False
) -> Event:
  """Draws `num_samples` of z, `[num_samples, *event]`, differentiable in phi.

  Args:
    key: consumed.
    q: the distribution.
    num_samples: at least 1.
    antithetic: draw pairs g(phi, eps), g(phi, eps'), where eps' mirrors eps
      and has the same distribution; independent draws otherwise.

  Raises:
    ValueError: `num_samples` is below 1, or odd with `antithetic`.
    TypeError: as `reparameterise`, or q has no antithetic noise.

  References:
    Hammersley and Morton 1956, A new Monte Carlo technique.

  Examples:
    >>> q = vj.Normal(jnp.ones(2), 0.0)
    >>> z = vj.reparameterise_many(jax.random.key(0), q, 4, antithetic=True)
    >>> print(z.shape, jnp.round(jnp.mean(z, axis=0), 3))
    (4, 2) [1. 1.]
  """
  check_num_samples(num_samples, antithetic)
  if not antithetic:
    keys = jax.random.split(key, num_samples)
    return jax.vmap(reparameterise, (0, None))(keys, q)
  q = q.for_pathwise()
  keys = jax.random.split(key, num_samples // 2)
  eps = jax.vmap(q.noise)(keys)
  pairs = jax.tree.map(
    lambda x, y: jnp.concatenate([x, y]), eps, jax.vmap(q.mirror)(eps)
  )
  return jax.vmap(q.transform)(pairs)


def check_num_samples(num_samples: int, antithetic: bool = False) -> None:
  """Raises `ValueError` for an invalid number of draws."""
  if num_samples < 1:
    raise ValueError(f'num_samples is {num_samples}: must be at least 1')
  if antithetic and num_samples % 2:
    raise ValueError(
      f'num_samples is {num_samples}: antithetic pairs need an even number'
    )


def sample(key: Key, q: Distribution) -> Event:
  """Draws one event with gradients stopped.

  Examples:
    >>> q = vj.Bernoulli(jnp.array([-99.0, 99.0]))
    >>> print(vj.sample(jax.random.key(0), q))
    [0. 1.]
  """
  return jax.lax.stop_gradient(q.sample(key))


def sample_many(
  key: Key, q: Distribution, num_samples: int, *, antithetic: bool = False
) -> Event:
  """Draws as `reparameterise_many`, for any family, with gradients stopped.

  Examples:
    >>> q = vj.Categorical(jnp.zeros((2, 3)))  # two labels of three categories
    >>> print(vj.sample_many(jax.random.key(0), q, 5).shape)
    (5, 2)
  """
  check_num_samples(num_samples, antithetic)
  if antithetic:
    q = jax.lax.stop_gradient(q)
    return reparameterise_many(key, q, num_samples, antithetic=True)
  return jax.vmap(sample, (0, None))(jax.random.split(key, num_samples), q)
