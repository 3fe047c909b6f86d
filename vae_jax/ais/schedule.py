"""Schedules of the inverse temperature beta from 0, p_0, to 1, p(x, z)."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from vae_jax.types import Array

# T -> beta, `[T]`.
Schedule = Callable[[int], np.ndarray]


def linear_schedule(num_temperatures: int) -> np.ndarray:
  """Returns beta_t = t / (T - 1), `[T]`.

  Examples:
    >>> print(vj.linear_schedule(5))
    [0.   0.25 0.5  0.75 1.  ]
  """
  return np.linspace(0, 1, num_temperatures)


def sigmoid_schedule(num_temperatures: int) -> np.ndarray:
  """Returns a sigmoid schedule, `[T]`, dense near beta = 0 and beta = 1.

  s_t = sigmoid(4 (2 t / (T - 1) - 1)), beta_t = (s_t - s_0) / (s_T-1 - s_0).
  The densities change most near both ends.

  References:
    Grosse, Ghahramani and Adams 2015, Sandwiching the marginal likelihood
    using bidirectional Monte Carlo, section 6.2.

  Examples:
    >>> print(vj.sigmoid_schedule(3))
    [0.  0.5 1. ]
  """
  s = 1 / (1 + np.exp(-np.linspace(-4, 4, num_temperatures)))
  return (s - s[0]) / (s[-1] - s[0])


def make_betas(
  schedule: Schedule, num_temperatures: int, dtype: Any = np.float32
) -> Array:
  """Returns the betas of a schedule, `[T]`.

  Raises:
    ValueError: T is below 2, or the schedule does not rise from 0 to 1.
  """
  if num_temperatures < 2:
    raise ValueError(
      f'num_temperatures is {num_temperatures}: must be at least 2, which '
      'includes both ends'
    )
  # Rounded before differences are taken: the weight increments must be those
  # of the betas that the kernels use.
  betas = np.asarray(schedule(num_temperatures), dtype)
  if (
    betas.shape != (num_temperatures,)
    or betas[0] != 0
    or betas[-1] != 1
    or np.any(np.diff(betas) < 0)
  ):
    raise ValueError(
      f'schedule: got {betas}, expected {num_temperatures} numbers that rise '
      'from 0 to 1'
    )
  return jnp.asarray(betas)
