"""Adapter for numpyro distributions, without a dependency on numpyro."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.distributions._numerics import event_sum
from vae_jax.distributions.base import (
  Distribution,
  check_event,
  distribution,
  no_closed_form,
)
from vae_jax.distributions.differentiability import raise_on_gradient
from vae_jax.types import Array, Key


@distribution
class _Numpyro(Distribution):
  """A numpyro distribution whose batch and event axes form one event."""

  base: Any

  @property
  def name(self) -> str:
    return f'numpyro {type(self.base).__name__}'

  @property
  def shape(self) -> tuple[int, ...]:
    return self.base.batch_shape + self.base.event_shape

  def draw(self, key: Key) -> Array:
    return self.base.sample(key)

  def for_pathwise(self) -> '_Numpyro':
    if self.base.has_rsample:
      return self
    reason = 'numpyro does not reparameterise it. Use `vj.score_function`'
    return self._guarded('pathwise gradient', reason)

  def for_score(self) -> '_Numpyro':
    if not _support_moves(self.base):
      return self
    reason = 'its parameters move the support'
    return self._guarded('score-function gradient', reason)

  def _guarded(self, gradient: str, reason: str) -> '_Numpyro':
    message = f'{self.name} has no {gradient}: {reason}'
    return _Numpyro(raise_on_gradient(self.base, message))

  def log_prob(self, z: Array) -> Array:
    check_event('z', z, self)
    return event_sum(jnp.asarray(self.base.log_prob(z)))

  @property
  def has_entropy(self) -> bool:
    return _is_implemented(self.base.entropy)

  @property
  def has_moments(self) -> bool:
    return _is_implemented(lambda: (self.base.mean, self.base.variance))

  @property
  def is_discrete(self) -> bool:
    return self.base.support.is_discrete

  def entropy(self) -> Array:
    try:
      return event_sum(self.base.entropy())
    except NotImplementedError:
      raise no_closed_form(self, 'entropy') from None

  def mean(self) -> Array:
    return self._moment('mean')

  def variance(self) -> Array:
    return self._moment('variance')

  def _moment(self, quantity: str) -> Array:
    try:
      return jnp.broadcast_to(getattr(self.base, quantity), self.shape)
    except NotImplementedError:
      raise no_closed_form(self, quantity) from None


def from_numpyro(d: Any) -> Distribution:
  """Wraps a numpyro distribution for use as q, prior or likelihood.

  Its batch and event axes form one event. Differentiating raises for the
  pathwise gradient where numpyro does not reparameterise, and for the
  score-function gradient where parameters move the support.

  Args:
    d: a `numpyro.distributions.Distribution`.

  Raises:
    TypeError: `d` lacks a method of a numpyro distribution.
  """
  wanted = ('batch_shape', 'event_shape', 'log_prob', 'sample', 'support')
  missing = [name for name in wanted if not hasattr(d, name)]
  if missing:
    raise TypeError(
      f'{type(d).__name__} is not a numpyro distribution: it has no '
      f'{missing[0]}'
    )
  return _Numpyro(d)


def _is_implemented(method: Callable[[], Any]) -> bool:
  """Returns True unless a numpyro method raises `NotImplementedError`."""
  try:
    jax.eval_shape(method)
  except NotImplementedError:
    return False
  return True


def _support_moves(d: Any) -> bool:
  """Returns True if the ends of the support depend on the parameters."""
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
