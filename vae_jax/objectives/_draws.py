"""Draws of z, their log-densities, and functions with auxiliary outputs."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.distributions import Distribution, check_num_samples
from vae_jax.types import Array, ArrayLike, Key, Latent

# z -> (scalar, auxiliary output)
WithAux = Callable[[Latent], tuple[Array, Any]]


def with_aux(f: Callable[[Latent], Any], has_aux: bool) -> WithAux:
  """Returns f with an auxiliary output, None where it has none."""
  return f if has_aux else lambda z: (f(z), None)


def evaluate(f: WithAux, z: Latent) -> tuple[Array, Any]:
  """Returns f at each of `[N, *event]` draws: `[N]` values and aux.

  Raises:
    ValueError: `f` returns anything but a scalar beside its aux.
  """
  values, aux = jax.vmap(f)(z)
  if jnp.ndim(values) != 1:
    raise ValueError(
      f'f returns shape {jnp.shape(values)[1:]}: it must return a scalar'
    )
  return values, aux


def draw_with_log_prob(
  key: Key, q: Distribution, num_samples: int
) -> tuple[Latent, Array]:
  """Draws z, `[N, *event]`, and log q(z), `[N]`, both reparameterised.

  Raises:
    ValueError: `num_samples` is below 1.
    TypeError: q cannot be reparameterised.
  """
  check_num_samples(num_samples)
  one = lambda key, q: q.for_pathwise().draw_and_log_prob(key)
  return jax.vmap(one, (0, None))(jax.random.split(key, num_samples), q)


def require_inverse(q: Distribution, estimator: str) -> None:
  """Raises `TypeError` unless log q can be evaluated at a given z.

  Args:
    q: the distribution.
    estimator: what needs it, for the message.
  """
  if not q.has_inverse:
    raise TypeError(
      f'{estimator} evaluates log q(z) at a given z, and {q.name} has no '
      "inverse: use estimator='pathwise'"
    )


def scale_parameters(
  q: Distribution, factor: ArrayLike, scale: Callable[..., Array]
) -> Distribution:
  """Returns q with `scale(parameter, factor)` for each parameter."""
  return jax.tree.map(lambda parameter: scale(parameter, factor), q)
