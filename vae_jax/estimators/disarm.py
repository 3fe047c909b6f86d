"""DisARM, the antithetic gradient estimator for bits."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from vae_jax.distributions import (
  Bernoulli,
  Distribution,
  check_num_samples,
  first_order_only,
)
from vae_jax.distributions._numerics import float_dtype
from vae_jax.estimators.vmap_scalar import evaluate_scalar
from vae_jax.estimators.zero_with_slope import zero_with_slope
from vae_jax.types import Array, Key


def disarm(
  key: Key,
  q: Distribution,
  f: Callable[[Array], Array],
  *,
  num_samples: int = 2,
) -> Array:
  """Estimates E_q[f(z)] for bits, with the DisARM gradient: unbiased.

  The draws are antithetic pairs: with eps_i ~ Logistic(0, 1) and the logits
  l_i of q, z_i = 1[l_i + eps_i > 0] and z~_i = 1[l_i - eps_i > 0]. The value
  is the mean of f over all draws, and the gradient in l_i the mean over pairs
  of

  (f(z) - f(z~)) / 2 (z_i - z~_i) sigmoid(|l_i|),

  which is 0 where z_i = z~_i. f is not differentiated in z. The gradient in
  the variables that f closes over is the mean of grad f over all draws. Second
  derivatives in the logits raise.

  Args:
    key: consumed.
    q: a `Bernoulli`, whose bits are independent.
    f: maps one event to a scalar; may be discontinuous.
    num_samples: N, even: N / 2 pairs and N evaluations of f.

  Returns:
    `[]`, the Monte-Carlo estimate, in the units of f.

  Raises:
    TypeError: q is not a `Bernoulli`.
    ValueError: `num_samples` is below 1 or odd, or `f` does not return a
      scalar.

  References:
    Dong, Mnih and Tucker 2020, DisARM: An Antithetic Gradient Estimator for
    Binary Latent Variables, section 3.

  Examples:
    >>> estimate = lambda logit: vj.disarm(
    ...   jax.random.key(0), vj.Bernoulli(logit), lambda z: z, num_samples=2
    ... )
    >>> print(f'{jax.grad(estimate)(0.0):.3f}')  # p (1 - p), exact at p = 1/2
    0.250
  """
  z = antithetic_bits(key, q, num_samples)
  return disarm_mean(q, z, evaluate_scalar(f, z))


def antithetic_bits(key: Key, q: Distribution, num_samples: int) -> Array:
  """Draws pairs z and z~ of bits, `[N, *event]`, all z before all z~.

  Raises:
    TypeError: q is not a `Bernoulli`.
    ValueError: `num_samples` is below 1 or odd.
  """
  check_num_samples(num_samples, antithetic=True)
  logits = jax.lax.stop_gradient(_logits(q))

  def pair(key: Key) -> tuple[Array, Array]:
    eps = jax.random.logistic(key, logits.shape, logits.dtype)
    return logits + eps > 0, logits - eps > 0

  pairs = jax.vmap(pair)(jax.random.split(key, num_samples // 2))
  return jnp.concatenate(pairs).astype(logits.dtype)


def disarm_mean(q: Distribution, z: Array, values: Array) -> Array:
  """Returns the mean of values at `antithetic_bits`, with DisARM's gradient.

  A pair with an infinite value has no gradient: the expectation is infinite.

  Args:
    q: the distribution that drew z.
    z: pairs of draws, `[N, *event]`.
    values: f(z_n), `[N]`.
  """
  half = len(values) // 2
  first, second = values[:half], values[half:]
  infinite = jnp.isinf(first) | jnp.isinf(second)
  signal = jnp.where(infinite, 0, (first - second) / 2)
  logits = _logits(q)
  scale = jax.nn.sigmoid(jnp.abs(jax.lax.stop_gradient(logits)))
  slope = jax.vmap(lambda s, z, other: s * (z - other) * scale)
  logits = first_order_only(
    logits, 'vj.disarm', '`vj.score_function`, or `vj.enumeration`'
  )
  slopes = jnp.mean(slope(signal, z[:half], z[half:]), axis=0)
  return jnp.mean(values) + zero_with_slope(slopes, logits)


def _logits(q: Distribution) -> Array:
  if not isinstance(q, Bernoulli):
    raise TypeError(
      f'{q.name} has no DisARM gradient, which needs a Bernoulli: use '
      '`vj.score_function`'
    )
  logits = jnp.asarray(q.logits)
  return logits.astype(float_dtype(logits))
