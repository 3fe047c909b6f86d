"""Distributions of a batch, without a copy per example of shared weights."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from vae_jax.distributions.base import Distribution, Event, distribution
from vae_jax.distributions.bijections import Bijection
from vae_jax.distributions.chain import Chain, Conditional
from vae_jax.distributions.transformed import Transformed
from vae_jax.types import Array


def share_weights(q: Distribution) -> Distribution:
  """Returns q whose weights are constants where no example changes them.

  `jax.vmap` of a function that returns a distribution copies every leaf of its
  pytree for each example. The networks of a flow's bijections and of the
  conditionals of a `Chain` are large and the same for all: here they are no
  leaves. Call it within the function that is mapped.

  Args:
    q: distribution of one example; any but a `Transformed` or a `Chain` is
      returned as it is.
  """
  if isinstance(q, Transformed):
    bijections = tuple(map(_share_bijection, q.bijections))
    return dataclasses.replace(q, bijections=bijections)
  if isinstance(q, Chain):
    return type(q)(**{name: _share_part(q.parts[name]) for name in q.order})
  return q


class _Shared:
  """The constant leaves of a pytree; compared by identity, as jit needs it."""

  def __init__(self, tree: Any) -> None:
    leaves, self._structure = jax.tree.flatten(tree)
    self._leaves = [None if _varies(leaf) else leaf for leaf in leaves]

  def join(self, varying: Sequence[Array]) -> Any:
    """Returns the pytree with its other leaves, which are in order."""
    own = iter(varying)
    leaves = [next(own) if leaf is None else leaf for leaf in self._leaves]
    return jax.tree.unflatten(self._structure, leaves)


def _varies(leaf: Any) -> bool:
  # Within `vmap`, an array that no mapped argument changes stays concrete.
  return isinstance(leaf, jax.core.Tracer)


def _split(tree: Any) -> tuple[_Shared, tuple[Array, ...]]:
  return _Shared(tree), tuple(filter(_varies, jax.tree.leaves(tree)))


@distribution
class _SharedBijection(Bijection):
  """A bijection some of whose leaves are constants."""

  varying: tuple[Array, ...]
  shared: _Shared = dataclasses.field(metadata={'static': True})

  @property
  def has_inverse(self) -> bool:  # type: ignore[override]
    return self._whole.has_inverse

  @property
  def inverse_is_sequential(self) -> bool:  # type: ignore[override]
    return self._whole.inverse_is_sequential

  def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
    return self._whole.forward_and_log_det(x)

  def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
    return self._whole.inverse_and_log_det(y)

  @property
  def _whole(self) -> Bijection:
    found: Bijection = self.shared.join(self.varying)
    return found


def _share_bijection(bijection: Bijection) -> Bijection:
  shared, varying = _split(bijection)
  return _SharedBijection(varying, shared)


def _share_part(part: Distribution | Conditional) -> Distribution | Conditional:
  if not isinstance(part, Conditional):
    return part
  shared, varying = _split(part.params)
  function = part.function

  def joined(varying: Any, z: Mapping[str, Event]) -> Distribution:
    return function(shared.join(varying), z)

  return dataclasses.replace(part, function=joined, params=varying)
