"""How much of sticking the landing to mix in, learned from the draws.

The plain gradient g in the parameters of q and that of 'stl' (or 'dreg'),
whose difference is h = g - g', have the same mean: g - c h is unbiased for
every c that does not depend on its draws, and of least variance at
c = Cov(g, h) / Var(h). It is near 1 where q is close to the posterior, and near
0, plain, where q is so narrow that the path alone is the noisier.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.distributions import Distribution, reparameterise_many
from vae_jax.types import Array, Key, LogDensity

# Var g' / Var g beyond which q counts as too narrow.
_NARROW = 4.0


class ControlVariate(NamedTuple):
  """What the best coefficient is made of, each a vector `[P]`.

  Attributes:
    plain: g, in all P parameters of q.
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
  """Compares the two gradients of one example, draw for draw.

  Args:
    key: that of the bound itself, so that the draws are the same.
    q: q(z|x), that can be reparameterised.
    log_joint: z -> log p(x, z), `[]`.
    num_samples: K, at least 1.
    weighted: compare the gradients of the importance-weighted bound, else of
      the mean of K ELBOs.

  Returns:
    `ControlVariate`, without gradient.
  """
  q = jax.lax.stop_gradient(q)
  draw = lambda q: reparameterise_many(key, q, num_samples)
  z, to_q = jax.vjp(draw, q)
  density = lambda q, z: jax.vmap(q.log_prob)(z)
  log_q, to_q_and_z = jax.vjp(density, q, z)
  # A draw's log-joint knows no other draw: one pull gives every slope.
  log_p, to_z = jax.vjp(jax.vmap(log_joint), z)
  ones = jnp.ones_like(log_p)
  slope = to_z(ones)[0] - to_q_and_z(ones)[1]
  if weighted:
    v = jax.nn.softmax(log_p - log_q)
    path_weights = v**2
  else:
    path_weights = v = ones / num_samples
  scaled = lambda weights: to_q(_rows(weights, slope))[0]
  score = to_q_and_z(v)[0]
  plain = jax.tree.map(jnp.subtract, scaled(v), score)
  difference = jax.tree.map(jnp.subtract, plain, scaled(path_weights))
  return jax.lax.stop_gradient(
    ControlVariate(_vector(plain), _vector(difference))
  )


def learned_coefficient(pairs: ControlVariate) -> Array:
  """Returns the coefficient of each of B examples, learned from the others.

  c_b = Cov(g, h) / Var(h) over the examples other than b, kept within 0 and 1:
  the example's own draws have no part in it, so that the mixture stays
  unbiased. 0, which is plain, where there is nothing to learn from, or where
  Var(g') exceeds 4 Var(g): so little is to be gained there that the noise of
  the coefficient would cost more.

  Args:
    pairs: of the examples of a batch, each `[B, P]`; or of independent draws
      of one example.

  Returns:
    `[B]`.
  """
  g, h = pairs
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
  variance_held = variance_g - 2 * covariance + variance_h
  there = (variance_h > 0) & jnp.isfinite(variance_h + covariance)
  there &= variance_held <= _NARROW * variance_g
  ratio = jnp.where(there, covariance, 0) / jnp.where(there, variance_h, 1)
  return jnp.clip(ratio, 0, 1)


def _rows(weights: Array, values: Array) -> Array:
  """Scales each of `[K, *event]` values by its weight, `[K]`."""
  return weights.reshape(-1, *[1] * (values.ndim - 1)) * values


def _dots(a: Array, b: Array) -> Array:
  """Returns the dot products of the rows of `[B, P]`, `[B]`."""
  return jnp.sum(a * b, axis=1)


def _vector(tree: Distribution) -> Array:
  return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(tree)])
