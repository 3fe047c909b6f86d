"""Means over examples with their standard errors."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions import _shapes


class Estimate(NamedTuple):
  """A mean over independent values and its standard error.

  Both have the units of the quantity, nats for a log-likelihood. They are
  floats, or arrays for a quantity with several entries.

  Attributes:
    mean: mean over the values.
    standard_error: standard error of the mean; nan for one value.
  """

  mean: Any
  standard_error: Any


def estimate_mean(values: Any) -> Estimate:
  """Returns the mean over the first axis and its standard error.

  sqrt(sum_n (v_n - mean)^2 / (N - 1) / N)

  Args:
    values: `[N]` or `[N, D]`, N at least 1.

  Returns:
    `Estimate` of floats, or of `[D]` arrays, computed in float64. For a traced
    array, as under `jax.vmap`, of traced arrays in the dtype of `values`.

  Examples:
    >>> estimate = estimate_mean(np.array([1.0, 3.0]))
    >>> print(float(estimate.mean), float(estimate.standard_error))
    2.0 1.0
  """
  _shapes.assert_rank(values, {1, 2})
  count = len(values)
  if isinstance(values, jax.core.Tracer):
    mean = jnp.mean(values, axis=0)
    if count < 2:
      return Estimate(mean, jnp.full_like(mean, jnp.nan))
    error = jnp.std(values, axis=0, ddof=1) / np.sqrt(count)
    return Estimate(mean, error.astype(mean.dtype))
  values = np.asarray(values, np.float64)
  mean = np.mean(values, axis=0)
  if count < 2:
    error = np.full_like(mean, np.nan)
  else:
    error = np.std(values, axis=0, ddof=1) / np.sqrt(count)
  if values.ndim == 1:
    return Estimate(float(mean), float(error))
  return Estimate(mean, error)
