"""Relatives of the importance-weighted bound, for one example."""

import functools

import jax
import jax.numpy as jnp

from vae_jax.distributions import Distribution, reparameterise_many
from vae_jax.objectives.importance import (
  iw_elbo,
  log_mean_exp,
  log_weights,
  scaled_log_weights,
)
from vae_jax.types import Array, Key, LogDensity


def miw_elbo(
  key: Key,
  q: Distribution,
  log_joint: LogDensity,
  *,
  num_groups: int,
  num_samples: int,
  estimator: str = 'pathwise',
) -> Array:
  """Estimates the mean of `num_groups` importance-weighted bounds (MIWAE).

  1/M sum_m log 1/K sum_k w_mk: in expectation L_K, with less noise.

  Args:
    key: consumed.
    q: q(z|x).
    log_joint: z -> log p(x, z), `[]`.
    num_groups: M, at least 1.
    num_samples: K, at least 1.
    estimator: of each bound's gradient, as in `iw_elbo`.

  Returns:
    `[]`, in nats.

  Raises:
    ValueError: `num_groups` below 1, and as `iw_elbo`.
    TypeError: as `iw_elbo`.

  References:
    Rainforth et al. 2018, Tighter Variational Bounds are Not Necessarily
    Better, eq. (10).
  """
  _check_groups(num_groups)
  bound = functools.partial(
    iw_elbo,
    q=q,
    log_joint=log_joint,
    num_samples=num_samples,
    estimator=estimator,
  )
  return jnp.mean(jax.vmap(bound)(jax.random.split(key, num_groups)))


def piw_elbo(
  key: Key,
  q: Distribution,
  log_joint: LogDensity,
  *,
  num_groups: int,
  num_samples: int,
) -> Array:
  """Estimates L_MK, whose gradient in phi is that of `miw_elbo` (PIWAE).

  theta climbs the tight bound of all M K draws, phi the mean of M bounds of K
  draws each, whose signal-to-noise is better.

  Args:
    key: consumed.
    q: q(z|x), whose parameters are phi.
    log_joint: z -> log p(x, z), `[]`; closes over theta.
    num_groups: M, at least 1.
    num_samples: K, at least 1.

  Returns:
    `[]`, in nats: the value is L_MK.

  Raises:
    ValueError: `num_groups` or `num_samples` below 1.
    TypeError: q cannot be reparameterised.

  References:
    Rainforth et al. 2018, Tighter Variational Bounds are Not Necessarily
    Better, section 5, PIWAE.
  """
  _check_groups(num_groups)
  z = reparameterise_many(key, q, num_groups * num_samples)
  held_q, held_z = jax.lax.stop_gradient((q, z))
  bound = log_mean_exp(log_weights(held_q, log_joint, held_z))
  # log_joint closes over theta, so its gradient in z alone is had apart.
  log_p, pull = jax.vjp(jax.vmap(log_joint), held_z)
  log_w = log_p - jax.vmap(held_q.log_prob)(held_z)
  groups = log_w.reshape(num_groups, num_samples)
  weights = jax.nn.softmax(groups).ravel() / num_groups
  slope, weights = jax.lax.stop_gradient((*pull(weights), weights))
  climb = jnp.sum(slope * z) - weights @ jax.vmap(q.log_prob)(z)
  return bound + climb - jax.lax.stop_gradient(climb)


def ciw_elbo(
  key: Key,
  q: Distribution,
  log_joint: LogDensity,
  *,
  num_samples: int,
  elbo_weight: float,
  estimator: str = 'pathwise',
) -> Array:
  """Estimates a combination of the ELBO and L_K of the same draws (CIWAE).

  a ELBO + (1 - a) L_K, a lower bound on log p(x) too.

  Args:
    key: consumed.
    q: q(z|x).
    log_joint: z -> log p(x, z), `[]`.
    num_samples: K, at least 1.
    elbo_weight: a, from 0 to 1.
    estimator: 'pathwise', or 'dreg', which is 'stl' in the ELBO's part.

  Returns:
    `[]`, in nats.

  Raises:
    ValueError: `elbo_weight` outside 0 to 1, another estimator, `num_samples`
      below 1.
    TypeError: q cannot be reparameterised.

  References:
    Rainforth et al. 2018, Tighter Variational Bounds are Not Necessarily
    Better, section 5, CIWAE; Tucker et al. 2018, Doubly Reparameterized
    Gradient Estimators, for 'dreg'.
  """
  if not 0 <= elbo_weight <= 1:
    raise ValueError(f'elbo_weight is {elbo_weight}: must be from 0 to 1')
  if estimator not in ('pathwise', 'dreg'):
    raise ValueError(
      f"estimator is {estimator!r}: must be 'pathwise' or 'dreg'"
    )

  def combine(log_w: Array) -> Array:
    tight = (1 - elbo_weight) * log_mean_exp(log_w)
    # 0 times the -inf of a draw outside p's support would be nan.
    loose = elbo_weight * jnp.mean(log_w) if elbo_weight else 0.0
    return loose + tight

  def scales(log_w: Array) -> Array:
    # To elbo_weight / K + (1 - elbo_weight) v_k^2 from the same with v_k.
    v = jax.nn.softmax(log_w)
    weight = elbo_weight / num_samples + (1 - elbo_weight) * v
    there = jnp.where(weight > 0, weight, 1)
    return 1 - (1 - elbo_weight) * v * (1 - v) / there

  z = reparameterise_many(key, q, num_samples)
  if estimator == 'pathwise':
    return combine(log_weights(q, log_joint, z))
  return combine(scaled_log_weights(q, log_joint, z, scales))


def renyi_elbo(
  key: Key,
  q: Distribution,
  log_joint: LogDensity,
  *,
  num_samples: int,
  alpha: float,
) -> Array:
  """Estimates the variational Renyi bound of one example.

  1/(1 - alpha) log 1/K sum_k w_k^(1 - alpha), which falls as alpha rises:
  alpha = 0 is the importance-weighted bound, alpha -> 1 the ELBO. A bound on
  log p(x) from below, in expectation, for alpha >= 0; with negative alpha and
  many draws it comes to lie above. alpha = -inf keeps the largest weight
  alone (VR-max).

  Args:
    key: consumed.
    q: q(z|x).
    log_joint: z -> log p(x, z), `[]`.
    num_samples: K, at least 1.
    alpha: the order; any number, or -inf.

  Returns:
    `[]`, in nats; its gradient is the pathwise one.

  Raises:
    ValueError: `num_samples` below 1, alpha is nan or inf.
    TypeError: q cannot be reparameterised.

  References:
    Li and Turner 2016, Renyi Divergence Variational Inference, eq. (13).
  """
  if not alpha < float('inf'):
    raise ValueError(f'alpha is {alpha}: must be a number, or -inf')
  z = reparameterise_many(key, q, num_samples)
  log_w = log_weights(q, log_joint, z)
  if alpha == 1:
    return jnp.mean(log_w)
  if alpha == -float('inf'):
    return jnp.max(log_w)
  return log_mean_exp((1 - alpha) * log_w) / (1 - alpha)


def _check_groups(num_groups: int) -> None:
  if num_groups < 1:
    raise ValueError(f'num_groups is {num_groups}: must be at least 1')
