"""Exact expectations under discrete distributions, by enumeration."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions import Bernoulli, Categorical, Distribution
from vae_jax.estimators.vmap_scalar import evaluate_scalar
from vae_jax.types import Array

# Values of z: those of 12 bits.
MAX_VALUES = 2**12


def enumeration(q: Distribution, f: Callable[[Array], Array]) -> Array:
  """Computes E_q[f(z)] exactly, as a sum over every value of z.

  sum_z q(z) f(z)

  Its derivatives of every order, in q and in what f closes over, are exact too:
  the reference for estimators of discrete latents. f is not differentiated in
  z. Under `vmap`, what f computes from z alone is computed once for the batch.

  Args:
    q: a Bernoulli of up to 12 bits, or a Categorical of up to 4096 values in
      all, K^n for n dimensions of K labels.
    f: maps one event to a scalar; may be discontinuous.

  Returns:
    `[]`, in the units of f.

  Raises:
    TypeError: q is neither a `Bernoulli` nor a `Categorical`.
    ValueError: q has more than 4096 values, or `f` does not return a scalar.

  Examples:
    >>> print(f'{vj.enumeration(vj.Bernoulli(jnp.zeros(3)), jnp.sum):.3f}')
    1.500
  """
  z = all_values(q)
  return enumerated_mean(evaluate_scalar(f, z), jax.vmap(q.log_prob)(z))


def all_values(q: Distribution) -> Array:
  """Returns every value of z ~ q, `[M, *event]`, as q draws them.

  Raises:
    TypeError: q is neither a `Bernoulli` nor a `Categorical`.
    ValueError: q has more than 4096 values.

  Examples:
    >>> print(all_values(vj.Bernoulli(jnp.zeros(2))).tolist())
    [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
  """
  labels, size = num_labels(q), math.prod(q.shape)
  if too_many_values(labels, size):
    raise ValueError(
      f'{q.name} has {labels}^{size} values of z: enumeration admits at most '
      f'{MAX_VALUES}. Use fewer dimensions, or `vj.score_function`'
    )
  # Digits of 0, ..., M - 1.
  count, places = labels**size, labels ** np.arange(size)[::-1]
  digits = np.arange(count)[:, None] // places[None] % labels
  dtype = jax.eval_shape(q.sample, jax.random.key(0)).dtype
  return jnp.asarray(digits.reshape(count, *q.shape), dtype)


def num_labels(q: Distribution) -> int:
  """Returns the number of values of each dimension of z ~ q.

  Raises:
    TypeError: q is neither a `Bernoulli` nor a `Categorical`.
  """
  if isinstance(q, Bernoulli):
    return 2
  if isinstance(q, Categorical):
    return int(jnp.shape(q.logits)[-1])
  raise TypeError(
    f'{q.name} cannot be enumerated, which needs a Bernoulli or a Categorical: '
    'use `vj.score_function`, or `vj.pathwise`'
  )


def too_many_values(labels: int, size: int) -> bool:
  """Returns whether `size` dimensions of so many labels exceed the maximum."""
  # Of a million dimensions the power would be a slow number to compute.
  most = MAX_VALUES.bit_length() - 1
  return labels > 1 and (size > most or labels**size > MAX_VALUES)


def enumerated_mean(values: Array, log_q: Array) -> Array:
  """Returns sum_z q(z) f(z), `[]`.

  Impossible z do not count, and an infinite f has no gradient in q: the
  expectation is infinite.

  Args:
    values: f(z) at every value of z, `[M]`.
    log_q: log q(z), `[M]`.
  """
  weights = jnp.exp(log_q)
  stopped = jax.lax.stop_gradient(weights)
  weights = jnp.where(jnp.isinf(values), stopped, weights)
  return jnp.sum(weights * jnp.where(weights > 0, values, 0))
