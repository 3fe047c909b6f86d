"""Adapter for numpyro distributions, without a dependency on numpyro."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions._missing import no_closed_form
from vae_jax.distributions._numerics import event_sum
from vae_jax.distributions.base import (
  Distribution,
  check_event,
  distribution,
)
from vae_jax.distributions.differentiability import raise_on_gradient
from vae_jax.types import Array, ArrayLike, Key


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
    every = [True] * len(jax.tree.leaves(self.base))
    return self._guarded('pathwise gradient', reason, every)

  def for_score(self) -> '_Numpyro':
    reason = 'its parameters move the support'
    moving = _moving_leaves(self.base)
    return self._guarded('score-function gradient', reason, moving)

  def _guarded(
    self, gradient: str, reason: str, which: list[bool]
  ) -> '_Numpyro':
    message = f'{self.name} has no {gradient}: {reason}'
    leaves, tree = jax.tree.flatten(self.base)
    guarded = [
      raise_on_gradient(leaf, message) if raises else leaf
      for leaf, raises in zip(leaves, which, strict=True)
    ]
    return _Numpyro(jax.tree.unflatten(tree, guarded))

  def log_prob(self, z: Array) -> Array:
    check_event('z', z, self)
    return event_sum(jnp.asarray(self.base.log_prob(z)))

  @property
  def has_entropy(self) -> bool:
    return _is_implemented(self.base.entropy)

  @property
  def moment_order(self) -> ArrayLike:
    return _moment_order(self.base)

  @property
  def has_moments(self) -> bool:
    if isinstance(_MOMENT_ORDERS.get(type(self.base).__name__), float):
      return False
    return _is_implemented(lambda: (self.base.mean, self.base.variance))

  def covariance(self) -> Array:
    d = self.base
    while type(d).__name__ in _WRAPPERS:
      d = d.base_dist
    if d.event_dim == 0:
      return jnp.diag(jnp.ravel(self.variance()))
    if self.base.batch_shape == () and hasattr(self.base, 'covariance_matrix'):
      return self.base.covariance_matrix
    return super().covariance()

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
  score-function gradient in parameters that move the support.

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


# Families without all moments -> supremum of the finite ones.
_MOMENT_ORDERS: dict[str, float | str] = {
  'Cauchy': 1.0,
  'HalfCauchy': 1.0,
  'InverseGamma': 'concentration',
  'Levy': 0.5,
  'MultivariateStudentT': 'df',
  'Pareto': 'alpha',
  'StudentT': 'df',
}
# Their dimensions are those of their base.
_WRAPPERS = ('ExpandedDistribution', 'Independent', 'MaskedDistribution')


def _moment_order(d: Any) -> ArrayLike:
  order = _MOMENT_ORDERS.get(type(d).__name__)
  if isinstance(order, str):
    return getattr(d, order)
  least = jnp.asarray(order or jnp.inf)
  for part in _parts(d):
    least = jnp.minimum(least, jnp.min(jnp.asarray(_moment_order(part))))
  return least


def _parts(d: Any) -> list[Any]:
  """Returns the base of a wrapper, or the components of a mixture."""
  names = ('base_dist', '_component_distribution', '_component_distributions')
  found = [getattr(d, name) for name in names if hasattr(d, name)]
  is_part = lambda x: hasattr(x, 'support')
  return [x for x in jax.tree.leaves(found, is_leaf=is_part) if is_part(x)]


def _moving_leaves(d: Any) -> list[bool]:
  """Returns which traced leaves of a numpyro distribution move its support.

  A leaf moves the support if another value of it changes an end. The values of
  traced leaves are unknown, so arbitrary ones stand for them.
  """
  leaves, tree = jax.tree.flatten(d)
  random = np.random.default_rng(0)
  traced = [isinstance(leaf, jax.core.Tracer) for leaf in leaves]

  def draw(leaf: Array) -> np.ndarray:
    value = random.uniform(0.5, 1.5, leaf.shape)
    return value if jnp.issubdtype(leaf.dtype, jnp.floating) else value > 0

  def ends(values: list[Any]) -> list[Any]:
    return [np.asarray(x) for x in _ends(jax.tree.unflatten(tree, values))]

  def moves(index: int) -> bool:
    other = [*values[:index], draw(leaves[index]), *values[index + 1 :]]
    pairs = zip(first, ends(other), strict=True)
    return not all(np.array_equal(x, y, equal_nan=True) for x, y in pairs)

  with jax.ensure_compile_time_eval():
    pairs = zip(leaves, traced, strict=True)
    values = [draw(leaf) if unknown else leaf for leaf, unknown in pairs]
    first = ends(values)
    return [unknown and moves(index) for index, unknown in enumerate(traced)]


def _ends(d: Any) -> list[Any]:
  """Returns the ends of the support, and what else it moves with."""
  if type(d).__name__ == 'Delta':
    return [d.v]
  parts = _parts(d)
  ends = [end for part in parts for end in _ends(part)]
  shape = parts[0].shape() if parts else ()
  # The codomain of a transform is the image of its whole domain, which the
  # base need not fill.
  for transform in getattr(d, 'transforms', ()):
    if not ends:  # A simplex, a sphere: all that transforms it moves it.
      return jax.tree.leaves(d.transforms)
    ends = [transform(jnp.broadcast_to(end, shape)) for end in ends]
    ends += _bounds(transform.codomain)
    shape = transform.forward_shape(shape)
  return ends + _bounds(d.support)


def _bounds(support: Any) -> list[Any]:
  """Returns the ends of an interval; of another set none."""
  while hasattr(support, 'base_constraint'):
    support = support.base_constraint
  low = getattr(support, 'lower_bound', None)
  high = getattr(support, 'upper_bound', None)
  if low is None and high is None and type(support).__name__ != '_Real':
    return []
  return [-jnp.inf if low is None else low, jnp.inf if high is None else high]
