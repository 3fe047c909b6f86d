"""The gradient of an estimate, draw by draw: its bias, variance and signal."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.types import Array, Key, Params


class GradientStatistics(NamedTuple):
  """Each a pytree like the parameters, of their shapes.

  Attributes:
    mean: of the gradients.
    standard_error: of that mean.
    variance: of one gradient.
    signal_to_noise: |mean| / standard deviation of one gradient.
  """

  mean: Params
  standard_error: Params
  variance: Params
  signal_to_noise: Params


def sample_gradients(
  key: Key,
  objective: Callable[[Key, Params], Array],
  params: Params,
  *,
  num_samples: int,
) -> Params:
  """Returns independent draws of the gradient of a stochastic objective.

  Estimators given the same key see the same noise, so that their draws are
  paired: common random numbers.

  Args:
    key: consumed.
    objective: `objective(key, params) -> []`, such as one of the estimators.
    params: any pytree.
    num_samples: N, at least 1.

  Returns:
    A pytree like `params`, each leaf with a leading axis `[N]`.

  Raises:
    ValueError: `num_samples` is below 1.
  """
  if num_samples < 1:
    raise ValueError(f'num_samples is {num_samples}: must be at least 1')
  keys = jax.random.split(key, num_samples)
  return jax.vmap(jax.grad(objective, 1), (0, None))(keys, params)


def gradient_statistics(samples: Any) -> GradientStatistics:
  """Summarises the draws of `sample_gradients`, of which there are 2 or more.

  Raises:
    ValueError: fewer draws than 2 have no variance.
  """
  count = len(jax.tree.leaves(samples)[0])
  if count < 2:
    raise ValueError(f'samples hold {count} draw: a variance needs at least 2')
  mean = jax.tree.map(lambda x: jnp.mean(x, axis=0), samples)
  variance = jax.tree.map(lambda x: jnp.var(x, axis=0, ddof=1), samples)
  error = jax.tree.map(lambda v: jnp.sqrt(v / count), variance)
  ratio = jax.tree.map(lambda m, v: jnp.abs(m) / jnp.sqrt(v), mean, variance)
  return GradientStatistics(mean, error, variance, ratio)
