"""Gumbel-softmax and straight-through gradients of discrete draws: BIASED."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.distributions import (
  Bernoulli,
  Categorical,
  Distribution,
  check_num_samples,
  first_order_only,
)
from vae_jax.distributions._numerics import float_dtype
from vae_jax.distributions.domain import at_most
from vae_jax.estimators.vmap_scalar import evaluate_scalar
from vae_jax.estimators.zero_with_slope import zero_with_slope
from vae_jax.types import Array, ArrayLike, Key


class RelaxedDraws(NamedTuple):
  """Draws of a discrete q, and their relaxations from the same noise.

  Attributes:
    hard: draws of q, `[N, *event]`; one-hot `[N, *event, K]` of a Categorical.
    soft: points between them, of the same shape, differentiable in q.
  """

  hard: Array
  soft: Array


def gumbel_softmax(
  key: Key,
  q: Distribution,
  f: Callable[[Array], Array],
  *,
  num_samples: int = 1,
  temperature: ArrayLike = 0.5,
) -> Array:
  """Estimates E_q[f(z)], with a BIASED gradient by the Gumbel-softmax.

  With g_k ~ Gumbel(0, 1) and the logits l of q,

  z = onehot(argmax_k (l_k + g_k)),  z' = softmax((l + g) / temperature).

  The value and the gradient in what f closes over are those of z, a draw of q:
  unbiased. The gradient in q is (df/dz)(z') dz'/dl, that of E[f(z')]: biased
  for E_q[f(z)], less at lower temperatures, where its variance grows. For bits
  the softmax is a sigmoid and g logistic. Costs N evaluations of f and N
  gradients of f. Second derivatives in q raise.

  Args:
    key: consumed.
    q: a `Bernoulli`, or a `Categorical`.
    f: maps one event to a scalar, and is differentiable between the values of
      z: a point of [0, 1]^n for bits; for a Categorical, whose labels are
      one-hot here, `[*event, K]`.
    num_samples: N, at least 1.
    temperature: above 0, `[]`.

  Returns:
    `[]`, the Monte-Carlo estimate, in the units of f.

  Raises:
    TypeError: q is neither a `Bernoulli` nor a `Categorical`.
    ValueError: `num_samples` is below 1, the temperature is not above 0, or
      `f` does not return a scalar.

  References:
    Jang, Gu and Poole 2017, Categorical Reparameterization with
    Gumbel-Softmax, eq. (2); Maddison, Mnih and Teh 2017, The Concrete
    Distribution, eq. (10), (24).
  """
  draws = draw_relaxed(key, q, num_samples, temperature, 'vj.gumbel_softmax')
  values, _ = gumbel_softmax_values(lambda z: (f(z), None), draws)
  return jnp.mean(values)


def straight_through(
  key: Key,
  q: Distribution,
  f: Callable[[Array], Array],
  *,
  num_samples: int = 1,
  temperature: ArrayLike | None = 0.5,
) -> Array:
  """Estimates E_q[f(z)], with a BIASED straight-through gradient.

  With the draws z and z' of `gumbel_softmax`, the gradient in q is
  (df/dz)(z) dz'/dl: f is evaluated and differentiated at z alone, a draw of q,
  as if z moved as z' does (straight-through Gumbel-softmax). With temperature
  None z' is E_q[z] instead, the probabilities (straight-through). The value
  and the gradient in what f closes over are those of z: unbiased. The gradient
  in q is biased, also at low temperatures. Costs N evaluations of f with their
  gradients. Second derivatives in q raise.

  Args:
    key: consumed.
    q: as in `gumbel_softmax`.
    f: as in `gumbel_softmax`.
    num_samples: N, at least 1.
    temperature: above 0, `[]`; or None.

  Returns:
    `[]`, the Monte-Carlo estimate, in the units of f.

  Raises:
    TypeError: as `gumbel_softmax`.
    ValueError: as `gumbel_softmax`.

  References:
    Bengio, Leonard and Courville 2013, Estimating or Propagating Gradients
    Through Stochastic Neurons, section 3; Jang, Gu and Poole 2017, section 2.2.
  """
  draws = draw_relaxed(key, q, num_samples, temperature, 'vj.straight_through')
  values, _ = straight_through_values(lambda z: (f(z), None), draws)
  return jnp.mean(values)


def draw_relaxed(
  key: Key,
  q: Distribution,
  num_samples: int,
  temperature: ArrayLike | None,
  estimator: str,
) -> RelaxedDraws:
  """Draws z ~ q and their relaxations.

  Args:
    key: consumed.
    q: a `Bernoulli`, or a `Categorical`.
    num_samples: N, at least 1.
    temperature: above 0; None for relaxations E_q[z].
    estimator: name of the estimator, for messages.

  Raises:
    TypeError: q is neither a `Bernoulli` nor a `Categorical`.
    ValueError: `num_samples` is below 1, or the temperature is not above 0.
  """
  check_num_samples(num_samples)
  t = None if temperature is None else _checked(temperature)
  if isinstance(q, Bernoulli):
    one = lambda key: _bits(key, q, t)
  elif isinstance(q, Categorical):
    one = lambda key: _one_hot(key, q, t)
  else:
    raise TypeError(
      f'{q.name} has no relaxation, which {estimator} needs of a Bernoulli or '
      'a Categorical: use `vj.score_function`, or `vj.pathwise`'
    )
  hard, soft = jax.vmap(one)(jax.random.split(key, num_samples))
  soft = first_order_only(
    soft, estimator, '`vj.score_function`, or `vj.enumeration`'
  )
  return RelaxedDraws(jax.lax.stop_gradient(hard), soft)


def gumbel_softmax_values(
  f: Callable[[Array], tuple[Array, Any]], draws: RelaxedDraws
) -> tuple[Array, Any]:
  """Returns f at the hard draws, `[N]`, sloped as at the soft, and its aux."""
  values, aux = _evaluate(f, draws.hard)
  point = jax.lax.stop_gradient(draws.soft)
  slopes = jax.vmap(jax.grad(lambda z: f(z)[0]))(point)
  return values + jax.vmap(zero_with_slope)(slopes, draws.soft), aux


def straight_through_values(
  f: Callable[[Array], tuple[Array, Any]], draws: RelaxedDraws
) -> tuple[Array, Any]:
  """Returns f at the hard draws, `[N]`, sloped as there, and its aux."""
  jax.eval_shape(lambda z: _evaluate(f, z), draws.hard)  # Checks its shape.
  both = jax.vmap(jax.value_and_grad(f, has_aux=True))
  (values, aux), slopes = both(draws.hard)
  return values + jax.vmap(zero_with_slope)(slopes, draws.soft), aux


def _evaluate(
  f: Callable[[Array], tuple[Array, Any]], z: Array
) -> tuple[Array, Any]:
  values, aux = jax.vmap(f)(z)
  return evaluate_scalar(lambda value: value, values), aux


def _bits(
  key: Key, q: Bernoulli, temperature: Array | None
) -> tuple[Array, Array]:
  """Draws bits, and sigmoids of the same logits and logistic noise."""
  logits = jnp.asarray(q.logits, float_dtype(q.logits))
  noisy = logits + jax.random.logistic(key, logits.shape, logits.dtype)
  hard = (noisy > 0).astype(logits.dtype)
  if temperature is None:
    return hard, jax.nn.sigmoid(logits)
  return hard, jax.nn.sigmoid(noisy / temperature)


def _one_hot(
  key: Key, q: Categorical, temperature: Array | None
) -> tuple[Array, Array]:
  """Draws one-hot labels, and softmaxes of the same logits and Gumbel noise."""
  logits = jnp.asarray(q.logits, float_dtype(q.logits))
  noisy = logits + jax.random.gumbel(key, logits.shape, logits.dtype)
  best = jnp.argmax(noisy, axis=-1)
  hard = jax.nn.one_hot(best, logits.shape[-1], dtype=logits.dtype)
  if temperature is None:
    return hard, jax.nn.softmax(logits)
  # Divided after the subtraction: at a low temperature inf - inf is nan.
  most = jnp.max(noisy, axis=-1, keepdims=True)
  return hard, jax.nn.softmax((noisy - most) / temperature)


def _checked(temperature: ArrayLike) -> Array:
  """Returns a temperature; nan where it is traced and not above 0."""
  outside, somewhere = at_most(temperature, 0)
  if somewhere:
    raise ValueError(f'temperature is {temperature}: must be above 0')
  # The expectation does not depend on it: a derivative in it is 0.
  return jax.lax.stop_gradient(jnp.where(outside, jnp.nan, temperature))
