"""A learned control variate: how much of sticking the landing to use.

The gradient g in the parameters of q and that of 'stl' (or 'dreg'), g', have
the same mean. With h = g - g', the estimate g - c h is unbiased for every c
that is independent of its draws, and of least variance at
c = Cov(g, h) / Var(h). The best c is near 1 where q is close to the posterior,
and near 0 where q is so narrow that the path derivative alone is noisier.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.distributions import Distribution, _shapes, reparameterise_many
from vae_jax.objectives import _draws
from vae_jax.objectives.importance import normalise
from vae_jax.types import Array, Key, LogDensity

# Var g' / Var g above which q counts as too narrow.
_NARROW = 4.0


class ControlVariate(NamedTuple):
  """The two gradients behind the best coefficient, each `[P]`.

  Attributes:
    plain: g, with respect to all P parameters of q.
    difference: h, of mean 0.
  """

  plain: Array
  difference: Array


def control_variate(
  key: Key,
  q: Distribution,
  log_joint: LogDensity,
  *,
  num_samples: int,
  weighted: bool,
) -> ControlVariate:
  """Computes the two gradients of one example from the same draws.

  Args:
    key: the key of the bound itself, so that the draws are the same.
    q: q(z|x), reparameterisable.
    log_joint: z -> log p(x, z), `[]`.
    num_samples: K, at least 1.
    weighted: use the gradients of the importance-weighted bound; otherwise
      those of the mean of K ELBOs.

  Returns:
    `ControlVariate`, stop-gradient.

  Raises:
    TypeError: q cannot be reparameterised, or has no inverse.

  References:
    Geffner and Domke 2018, Using Large Ensembles of Control Variates for
    Variational Inference, section 3.
  """
  _draws.require_inverse(q, "estimator 'adaptive'")
  q = jax.lax.stop_gradient(q)
  draw = lambda q: reparameterise_many(key, q, num_samples)
  z, to_q = jax.vjp(draw, q)
  density = lambda q, z: jax.vmap(q.log_prob)(z)
  log_q, to_q_and_z = jax.vjp(density, q, z)
  # Each log-joint depends on its own draw: one pullback gives every slope.
  log_p, to_z = jax.vjp(jax.vmap(log_joint), z)
  ones, one_q = jnp.ones_like(log_p), jnp.ones_like(log_q)
  slope = jax.tree.map(jnp.subtract, to_z(ones)[0], to_q_and_z(one_q)[1])
  if weighted:
    v = normalise(log_p - log_q)
    path_weights = v**2
  else:
    path_weights = v = ones / num_samples
  scaled = lambda weights: to_q(_rows(weights, slope))[0]
  score = to_q_and_z(v.astype(log_q.dtype))[0]
  plain = jax.tree.map(jnp.subtract, scaled(v), score)
  difference = jax.tree.map(jnp.subtract, plain, scaled(path_weights))
  return jax.lax.stop_gradient(
    ControlVariate(_vector(plain), _vector(difference))
  )


def learned_coefficient(pairs: ControlVariate) -> Array:
  """Estimates the best coefficient of each of B examples from the others.

  c_b = Cov(g, h) / Var(h) over the examples other than b, clipped to [0, 1].
  It is independent of the example's own draws, so that the combination stays
  unbiased. It is 0, the plain estimator, where B = 1 or where Var(g') exceeds
  4 Var(g): there the noise of the coefficient costs more than it gains.

  Args:
    pairs: gradients of the examples of a batch, each `[B, P]`; or of
      independent draws of one example.

  Returns:
    `[B]`.
  """
  g, h = pairs
  _shapes.assert_rank([g, h], 2)
  _shapes.assert_equal_shape([g, h])
  count = max(1, len(g) - 1)
  others = lambda values: jnp.sum(values, axis=0, keepdims=True) - values
  mean_g, mean_h = others(g) / count, others(h) / count
  # Centred: the signal in g would only add noise to the coefficient.
  scatter = lambda a, b, mean_a, mean_b: (
    others(_dots(a, b)) - count * _dots(mean_a, mean_b)
  )
  covariance = scatter(g, h, mean_g, mean_h)
  variance_g = scatter(g, g, mean_g, mean_g)
  variance_h = scatter(h, h, mean_h, mean_h)
  variance_stl = variance_g - 2 * covariance + variance_h
  usable = (variance_h > 0) & jnp.isfinite(variance_h + covariance)
  usable &= variance_stl <= _NARROW * variance_g
  ratio = jnp.where(usable, covariance, 0) / jnp.where(usable, variance_h, 1)
  return jnp.clip(ratio, 0, 1)


def _rows(v: Array, values: Any) -> Any:
  """Scales each of `[K, *event]` values by its weight, `[K]`."""
  weights = lambda leaf: v.reshape(-1, *[1] * (leaf.ndim - 1))
  scale = lambda leaf: weights(leaf).astype(leaf.dtype) * leaf
  return jax.tree.map(scale, values)


def _dots(a: Array, b: Array) -> Array:
  """Returns the dot products of the rows of `[B, P]`, `[B]`."""
  return jnp.sum(a * b, axis=1)


def _vector(tree: Distribution) -> Array:
  return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(tree)])
