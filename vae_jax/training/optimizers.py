"""Table of the optimizers, with decoupled weight decay and gradient clipping.

An optimizer is one row: what it builds, its words and the options it reads.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax

from vae_jax.training.adam import adam
from vae_jax.types import Array, Params

Optimizer: TypeAlias = optax.GradientTransformation
make_adam = adam
make_sgd = optax.sgd


class OptimizerRow(NamedTuple):
  """A row of `OPTIMIZERS`.

  Attributes:
    words: the optimizer in a phrase; fields in braces stand for options.
    make: `make(rate, **options) -> Optimizer`, where the rate is a number or
      a schedule.
    options: the options of `make_optimizer` that `make` reads.
  """

  words: str
  make: Callable[..., Optimizer]
  options: tuple[str, ...] = ()


def decayed(params: Params) -> Params:
  """Returns which arrays weight decay applies to, as a pytree of bools.

  Those of two or more axes, the weights of layers. Biases, scales and scalars,
  such as log sigma, are not decayed.
  """
  return jax.tree.map(lambda p: jnp.ndim(p) >= 2, params)


def _adamw(rate: Any, *, weight_decay: float) -> Optimizer:
  """Adam with decay: w <- w - rate (u + weight_decay w), u its update."""
  return optax.adamw(rate, weight_decay=weight_decay, mask=decayed)


OPTIMIZERS = {
  'adam': OptimizerRow('adam', adam),
  'adamw': OptimizerRow(
    'adamw (weight decay {weight_decay:g} times the learning rate, decoupled, '
    'of arrays with two or more axes; not of biases and scalars)',
    _adamw,
    ('weight_decay',),
  ),
  'adamax': OptimizerRow('adamax', optax.adamax),
  'sgd': OptimizerRow('sgd (gradient descent without momentum)', optax.sgd),
}


def clip_first(optimizer: Optimizer, most: float) -> Optimizer:
  """Scales the whole gradient to a norm of at most `most`, then updates.

  g <- g min(1, most / |g|), |g| over all parameters together. A gradient with
  a number that is not finite becomes nan and stops the run as it would
  without. The state is that of the optimizer, so that a run may resume with
  another norm.

  References:
    Pascanu, Mikolov and Bengio 2013, On the Difficulty of Training Recurrent
    Neural Networks, algorithm 1.
  """

  def update(
    grads: Params, state: Any, params: Params | None = None
  ) -> tuple[Params, Any]:
    return optimizer.update(clip(grads, most), state, params)

  return optimizer._replace(update=update)


def clip(grads: Params, most: float) -> Params:
  """Returns g min(1, most / |g|)."""
  leaves = [g for g in jax.tree.leaves(grads) if g.size]
  wide = functools.reduce(
    jnp.promote_types, [g.dtype for g in leaves], jnp.dtype(jnp.float32)
  )
  sizes = [jnp.max(jnp.abs(g)).astype(wide) for g in leaves]
  largest = jnp.max(jnp.stack(sizes))
  # In units of the largest number: squares of 1e20 overflow in float32, and a
  # gradient would become 0 without a word. Reciprocals of 1e38 underflow.
  unit = jnp.where(largest > 0, jnp.minimum(largest, 1e37), 1)
  scaled = jax.tree.map(lambda g: g.astype(wide) / unit, grads)
  norm = optax.tree.norm(scaled)

  def one(g: Array, s: Array) -> Array:
    short = s / norm * most
    return jnp.where(norm * unit <= most, g, short.astype(g.dtype))

  return jax.tree.map(one, grads, scaled)
