"""Distributions of numpyro, made to serve as ours; no dependency on it."""

from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.distributions.admission import refuse_gradient
from vae_jax.distributions.base import (
  Distribution,
  check_event,
  distribution,
  event_sum,
)
from vae_jax.types import Array, Key


@distribution
class _Foreign(Distribution):
  """One event of a numpyro distribution: batch and event axes together."""

  base: Any

  @property
  def name(self) -> str:
    return f'numpyro {type(self.base).__name__}'

  @property
  def shape(self) -> tuple[int, ...]:
    return self.base.batch_shape + self.base.event_shape

  def draw(self, key: Key) -> Array:
    return self.base.sample(key)

  def for_pathwise(self) -> '_Foreign':
    if self.base.has_rsample:
      return self
    reason = 'numpyro has none; use `vj.score_function`'
    return self._guarded('pathwise gradient', reason)

  def for_score(self) -> '_Foreign':
    if not _support_moves(self.base):
      return self
    reason = 'its parameters move the support'
    return self._guarded('score-function gradient', reason)

  def _guarded(self, gradient: str, reason: str) -> '_Foreign':
    message = f'{self.name} has no {gradient}: {reason}'
    return _Foreign(refuse_gradient(self.base, message))

  def log_prob(self, z: Array) -> Array:
    check_event('z', z, self)
    return event_sum(jnp.asarray(self.base.log_prob(z)))

  def entropy(self) -> Array:
    try:
      return event_sum(self.base.entropy())
    except NotImplementedError:
      raise TypeError(
        f'{self.name} has no closed-form entropy: '
        "use form='joint', which samples it"
      ) from None

  def mean(self) -> Array:
    return jnp.broadcast_to(self.base.mean, self.shape)

  def variance(self) -> Array:
    return jnp.broadcast_to(self.base.variance, self.shape)


def from_numpyro(d: Any) -> Distribution:
  """Returns a numpyro distribution as q, prior or likelihood.

  Its batch and event axes make up the one event. A gradient that it does not
  have raises when it is asked for: pathwise where numpyro gives none, and the
  score function where parameters move the support.

  Args:
    d: a `numpyro.distributions.Distribution`.

  Raises:
    TypeError: `d` has not the methods of one.
  """
  wanted = ('batch_shape', 'event_shape', 'log_prob', 'sample', 'support')
  missing = [name for name in wanted if not hasattr(d, name)]
  if missing:
    raise TypeError(
      f'{type(d).__name__} is no numpyro distribution: has no {missing[0]}'
    )
  return _Foreign(d)


def _support_moves(d: Any) -> bool:
  """Whether the ends of the support are computed from the parameters."""
  ends = lambda d: [
    x
    for x in map(jnp.asarray, jax.tree.leaves(d.support))
    if jnp.issubdtype(x.dtype, jnp.floating)
  ]
  jaxpr = jax.make_jaxpr(ends)(d).jaxpr
  moving = {id(v) for v in jaxpr.invars}
  for equation in jaxpr.eqns:
    if any(id(v) in moving for v in equation.invars):
      moving |= {id(v) for v in equation.outvars}
  return any(id(v) in moving for v in jaxpr.outvars)
