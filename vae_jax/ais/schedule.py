"""Temperatures from p_0, at beta = 0, to p(x, z), at beta = 1."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from vae_jax.types import Array

# T -> beta, `[T]`.
Schedule = Callable[[int], np.ndarray]


def linear_schedule(num_temperatures: int) -> np.ndarray:
  """Returns beta_t = t / (T - 1), `[T]`."""
  return np.linspace(0, 1, num_temperatures)


def sigmoid_schedule(num_temperatures: int) -> np.ndarray:
  """Returns beta_t, `[T]`, dense near 0 and 1, where the densities change most.

  s_t = sigmoid(4 (2 t / (T - 1) - 1)), beta_t = (s_t - s_0) / (s_T-1 - s_0).

  References:
    Grosse, Ghahramani and Adams 2015, Sandwiching the marginal likelihood
    using bidirectional Monte Carlo, section 6.2.
  """
  s = 1 / (1 + np.exp(-np.linspace(-4, 4, num_temperatures)))
  return (s - s[0]) / (s[-1] - s[0])


def make_betas(schedule: Schedule, num_temperatures: int) -> Array:
  """Returns the betas of a schedule, `[T]`, float32.

  Raises:
    ValueError: T is below 2, or the schedule does not rise from 0 to 1.
  """
  if num_temperatures < 2:
    raise ValueError(
      f'num_temperatures is {num_temperatures}: must be at least 2, as both '
      'ends count'
    )
  # Rounded first: the increments are those of the very betas of the kernels.
  betas = np.asarray(schedule(num_temperatures), np.float32)
  whole = betas.shape == (num_temperatures,)
  if not (whole and betas[0] == 0 and betas[-1] == 1) or np.any(
    np.diff(betas) < 0
  ):
    raise ValueError(
      f'schedule is to rise from 0 to 1 in {num_temperatures} numbers'
    )
  return jnp.asarray(betas)
