"""Codes of a condition y: one-hot classes and real covariates."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.types import Array


class Code(NamedTuple):
  """The vector that a network takes for y.

  Attributes:
    size: length of the vector.
    of: y -> the vector, `[size]`.
  """

  size: int
  of: Callable[[Array], Array]


def make_code(num_classes: int, num_covariates: int) -> Code | None:
  """Makes the code of classes, or of covariates; None where both are 0.

  Args:
    num_classes: C; y is then an integer in [0, C), `[]`.
    num_covariates: D; y is then real numbers, `[D]`.

  Raises:
    ValueError: both, or a negative number.
  """
  if min(num_classes, num_covariates) < 0 or (num_classes and num_covariates):
    raise ValueError(
      f'num_classes is {num_classes} and num_covariates {num_covariates}: one '
      'of them must be 0, and the other at least 0'
    )
  if num_classes:
    return Code(num_classes, lambda y: one_hot(y, num_classes))
  if num_covariates:
    return Code(num_covariates, lambda y: _covariates(y, num_covariates))
  return None


def one_hot(y: Array, num_classes: int) -> Array:
  """Returns the one-hot code of a class, `[num_classes]`.

  It is nan for a class outside [0, num_classes): zeros would be taken for a
  class that no training example has.

  Raises:
    TypeError: y is not one integer.
  """
  y = jnp.asarray(y)
  if y.shape or not jnp.issubdtype(y.dtype, jnp.integer):
    raise TypeError(
      f'y: got {y.dtype} of shape {y.shape}, expected the integer of a class'
    )
  code = jax.nn.one_hot(y, num_classes, dtype=jnp.result_type(float))
  return jnp.where((y >= 0) & (y < num_classes), code, jnp.nan)


def _covariates(y: Array, size: int) -> Array:
  y = jnp.asarray(y)
  if y.shape != (size,) or not jnp.issubdtype(y.dtype, jnp.floating):
    raise TypeError(
      f'y: got {y.dtype} of shape {y.shape}, expected {size} real numbers'
    )
  return y.astype(jnp.result_type(float))
