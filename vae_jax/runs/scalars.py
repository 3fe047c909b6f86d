"""Scalar parameters, such as a scale, that training leaves off the optimum."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.types import Key, Params

# A change of a log-scale that a bound notices, and no noise of its last steps.
_STEP = 0.05
_MIN_GAIN = 0.05


def unsettled_scalars(
  loss: Callable[..., tuple[Any, Any]],
  key: Key,
  params: Params,
  make_batches: Callable[[], Sequence[Any]],
) -> list[str]:
  """Returns a sentence per scalar parameter that a small change improves.

  The loss is compared at the value and at a distance of 0.05 on both sides,
  with common random numbers. Optimizers such as Adam move a scalar by at most
  about one learning rate per step, so that it arrives later than a network.

  Args:
    loss: `loss(key, params, batch) -> (loss, ...)` that was minimised.
    key: random key of every comparison.
    params: trained parameters, any pytree.
    make_batches: returns training batches of equal size; called only if a
      parameter is a scalar.
  """
  leaves, structure = jax.tree.flatten(params)
  paths = jax.tree_util.tree_leaves_with_path(params)
  places = [i for i, leaf in enumerate(leaves) if _is_scalar(leaf)]
  if not places:
    return []
  batches = make_batches()
  keys = jax.random.split(key, len(batches))
  compiled = jax.jit(lambda key, params, batch: loss(key, params, batch)[0])

  def mean_loss(place: int, change: float) -> float:
    changed = [*leaves]
    changed[place] = leaves[place] + change
    params = jax.tree.unflatten(structure, changed)
    pairs = zip(jax.random.clone(keys), batches, strict=True)
    return sum(float(compiled(k, params, x)) for k, x in pairs) / len(batches)

  lines = []
  for place in places:
    path, leaf = paths[place]
    here, down, up = (mean_loss(place, c) for c in (0.0, -_STEP, _STEP))
    gain = here - min(down, up)
    if gain > _MIN_GAIN:
      name = jax.tree_util.keystr(path, simple=True, separator='/')
      lines.append(
        f'the parameter {name} is still moving: it is {float(leaf):.4g}, and '
        f'{float(leaf) + (_STEP if up < down else -_STEP):.4g} lowers the '
        f'training loss by {gain:.3g} nats per example'
      )
  return lines


def _is_scalar(leaf: Any) -> bool:
  return not jnp.shape(leaf) and jnp.issubdtype(leaf.dtype, jnp.floating)
