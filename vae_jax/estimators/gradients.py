"""Bias, variance and signal-to-noise ratio of gradient estimates."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.types import Array, Key, Params


class GradientStatistics(NamedTuple):
  """Statistics of gradient samples, each a pytree like the parameters.

  Attributes:
    mean: mean of the gradients.
    standard_error: standard error of the mean gradient.
    variance: variance of a single gradient.
    signal_to_noise: |mean| / standard deviation of a single gradient.
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
  """Draws independent gradients of a stochastic objective.

  Estimators with the same key use the same noise (common random numbers), so
  comparisons between them are paired.

  Args:
    key: consumed.
    objective: `objective(key, params) -> []`, such as an estimator.
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
  """Summarises gradients of `sample_gradients`.

  Raises:
    ValueError: fewer than 2 draws, which have no sample variance.

  Examples:
    >>> s = vj.gradient_statistics(jnp.array([1.0, 3.0]))
    >>> print(s.mean, s.standard_error, s.variance)
    2.0 1.0 2.0
  """
  count = len(jax.tree.leaves(samples)[0])
  if count < 2:
    raise ValueError(
      f'samples: got {count} draw, expected at least 2 for a variance'
    )
  mean = jax.tree.map(lambda x: jnp.mean(x, axis=0), samples)
  variance = jax.tree.map(lambda x: jnp.var(x, axis=0, ddof=1), samples)
  error = jax.tree.map(lambda v: jnp.sqrt(v / count), variance)
  ratio = jax.tree.map(lambda m, v: jnp.abs(m) / jnp.sqrt(v), mean, variance)
  return GradientStatistics(mean, error, variance, ratio)
