"""Supports of distributions, and their bijections with the real numbers."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from vae_jax.distributions._numerics import event_sum, softplus
from vae_jax.distributions.logged_draw import (
  LoggedDraw,
  keep_logs,
  log_of,
  logs_of,
)
from vae_jax.types import Array


class Support(NamedTuple):
  """A set of events whose dimensions each have one range of values.

  Attributes:
    words: the values of one dimension, in words.
    from_reals: y -> z, elementwise and increasing; None for discrete values.
    to_reals: z -> y, its inverse.
    log_det: y -> log|det dz/dy|, `[]`.
  """

  words: str
  from_reals: Callable[[Array], Any] | None = None
  to_reals: Callable[[Any], Array] | None = None
  log_det: Callable[[Array], Array] | None = None


def _exp(y: Array) -> LoggedDraw:
  return keep_logs(jnp.exp(y), y)


def _sigmoid(y: Array) -> LoggedDraw:
  log_z = -softplus(-y)
  return keep_logs(jnp.exp(log_z), log_z, -softplus(y))


def _logit(z: Any) -> Array:
  log_z, log_complement = logs_of(z, (z > 0) & (z < 1))
  return log_z - log_complement


REALS = Support(
  'real numbers', jnp.asarray, jnp.asarray, lambda y: jnp.zeros(())
)
POSITIVE = Support(
  'positive numbers', _exp, lambda z: log_of(z, z > 0), event_sum
)
UNIT_INTERVAL = Support(
  'numbers in (0, 1)',
  _sigmoid,
  _logit,
  lambda y: -event_sum(softplus(y) + softplus(-y)),
)
BINARY = Support('zeros and ones')
LABELS = Support('labels')
