"""Gradients of E_q[f(z)] with respect to the parameters of q and of f."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from vae_jax.distributions import Distribution, reparameterise_many
from vae_jax.types import Array, Key


def pathwise(
  key: Key,
  q: Distribution,
  f: Callable[[Array], Array],
  *,
  num_samples: int = 1,
) -> Array:
  """Estimates E_q[f(z)], differentiable through q and through f at once.

  1/N sum_n f(g(phi, eps_n)), eps_n ~ p(eps), whose gradient is the pathwise
  estimator 1/N sum_n grad f(g(phi, eps_n)).

  Args:
    key: consumed.
    q: a distribution that `reparameterise` accepts.
    f: from one event to a scalar; differentiable.
    num_samples: N, at least 1.

  Returns:
    `[]`, the Monte-Carlo estimate, in the units of f.

  Raises:
    TypeError: `q` cannot be reparameterised.
    ValueError: `num_samples` is below 1, or `f` returns no scalar.

  References:
    Kingma and Welling 2014, Auto-Encoding Variational Bayes, eq. (5).
  """
  return jnp.mean(evaluate_scalar(f, reparameterise_many(key, q, num_samples)))


def evaluate_scalar(f: Callable[[Array], Array], z: Array) -> Array:
  """Returns f at each of `[N, *event]` draws, `[N]`.

  Raises:
    ValueError: `f` returns anything but a scalar.
  """
  values = jax.vmap(f)(z)
  if jnp.ndim(values) != 1:
    raise ValueError(
      f'f returns shape {jnp.shape(values)[1:]}: it must return a scalar'
    )
  return values
