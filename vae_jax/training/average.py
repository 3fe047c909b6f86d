"""Exponential moving average of the parameters (EMA), debiased."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.types import Array, Params


class Average(NamedTuple):
  """Debiased exponential moving average of the parameters after each step.

  After t steps it is sum_i d^(t - i) p_i / sum_i d^(t - i), i = 1..t: the
  initial parameters have no weight.

  Attributes:
    num_steps: number of averaged steps t, `[]` int32.
    params: the average, in float32 or wider; zeros before the first step.
  """

  num_steps: Array
  params: Params


def init_average(params: Params) -> Average:
  """Returns the average of no step."""
  zeros = lambda p: jnp.zeros(jnp.shape(p), _wide(p))
  return Average(jnp.zeros((), jnp.int32), jax.tree.map(zeros, params))


def average_of(params: Params, num_seeds: int = 1) -> Average:
  """Returns the shapes of an average, to restore one.

  Args:
    params: parameters or their shapes, stacked in a run of many seeds.
    num_seeds: number of seeds.
  """
  shapes = jax.eval_shape(init_average, params)
  if num_seeds == 1:
    return shapes
  count = jax.ShapeDtypeStruct((num_seeds,), shapes.num_steps.dtype)
  return shapes._replace(num_steps=count)


def add_to_average(average: Average, params: Params, decay: float) -> Average:
  """Adds the parameters after a step.

  a_t = a_(t-1) + w_t (p_t - a_(t-1)),  w_t = (1 - d) / (1 - d^t).

  Args:
    average: average over the steps before.
    params: parameters after this step.
    decay: d, above 0 and below 1.

  References:
    Kingma and Ba 2015, Adam, section 7.2 (temporal averaging, corrected for
    its initialisation as in section 3).
  """
  count = average.num_steps + 1
  # 1 - d^t loses its digits where d is near 1 and t is small.
  powers = count.astype(jnp.float32) * math.log(decay)
  weight = jnp.minimum((1 - decay) / -jnp.expm1(powers), 1)

  def one(a: Array, p: Array) -> Array:
    return a + weight.astype(a.dtype) * (p.astype(a.dtype) - a)

  return Average(count, jax.tree.map(one, average.params, params))


def averaged_params(average: Average, params: Params) -> Params:
  """Returns the average in the dtypes of the parameters.

  Args:
    average: the average; stacked, as `params` are, in a run of many seeds.
    params: present parameters, which stand for an average of no step.
  """
  is_any = average.num_steps > 0

  def one(a: Array, p: Array) -> Array:
    own = is_any.reshape(is_any.shape + (1,) * (a.ndim - is_any.ndim))
    return jnp.where(own, a.astype(p.dtype), p)

  return jax.tree.map(one, average.params, params)


def _wide(leaf: Array) -> jnp.dtype:
  """Returns a dtype in which small steps towards a leaf do not vanish."""
  return jnp.promote_types(jnp.result_type(leaf), jnp.float32)
