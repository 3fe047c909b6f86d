"""Variants of the importance-weighted bound: MIWAE, PIWAE, CIWAE, Renyi.

Examples:
  >>> q = vj.Normal(0.0, 0.0)
  >>> log_joint = lambda z: q.log_prob(z) - 2.0  # p(x) = exp(-2)
  >>> key = jax.random.key(0)
  >>> bound = vj.ciw_elbo(key, q, log_joint, num_samples=3, elbo_weight=0.5)
  >>> print(f'{bound:.3f}')
  -2.000
"""

import functools

import jax
import jax.numpy as jnp

from vae_jax.distributions import (
  Distribution,
  first_order_only,
  reparameterise_many,
)
from vae_jax.objectives import _draws
from vae_jax.objectives.importance import (
  iw_elbo,
  log_mean_exp,
  log_weights,
  normalise,
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
  prior: Distribution | None = None,
) -> Array:
  """Estimates the mean of `num_groups` importance-weighted bounds (MIWAE).

  1/M sum_m log 1/K sum_k w_mk: in expectation L_K, with lower variance.

  Args:
    key: consumed.
    q: q(z|x).
    log_joint: z -> log p(x, z), `[]`.
    num_groups: M, at least 1.
    num_samples: K, at least 1.
    estimator: gradient estimator of each bound, as in `iw_elbo`.
    prior: p(z), for the estimator 'gdreg' only.

  Returns:
    `[]`, in nats.

  Raises:
    ValueError: `num_groups` below 1, and as `iw_elbo`.
    TypeError: as `iw_elbo`.

  References:
    Rainforth et al. 2018, Tighter Variational Bounds are Not Necessarily
    Better, eq. (10).

  Examples:
    >>> q = vj.Normal(0.0, 0.0)
    >>> log_joint = lambda z: q.log_prob(z) - 2.0  # p(x) = exp(-2)
    >>> key = jax.random.key(0)
    >>> bound = vj.miw_elbo(key, q, log_joint, num_samples=3, num_groups=2)
    >>> print(f'{bound:.3f}')
    -2.000
  """
  _check_groups(num_groups)
  bound = functools.partial(
    iw_elbo,
    q=q,
    log_joint=log_joint,
    num_samples=num_samples,
    estimator=estimator,
    prior=prior,
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
  """Estimates L_MK, with the gradient of `miw_elbo` in phi (PIWAE).

  theta maximises the tight bound of all M K samples; phi maximises the mean of
  M bounds of K samples each, whose signal-to-noise ratio is higher.

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
    TypeError: q cannot be reparameterised, or has no inverse.

  References:
    Rainforth et al. 2018, Tighter Variational Bounds are Not Necessarily
    Better, section 5, PIWAE.
  """
  _check_groups(num_groups)
  _draws.require_inverse(q, 'piw_elbo')
  z = reparameterise_many(key, q, num_groups * num_samples)
  stopped_q, stopped_z = jax.lax.stop_gradient((q, z))
  bound = log_mean_exp(log_weights(stopped_q, log_joint, stopped_z))
  # log_joint closes over theta: its gradient in z alone is a pullback.
  log_p, pull = jax.vjp(jax.vmap(log_joint), stopped_z)
  log_w = log_p - jax.vmap(stopped_q.log_prob)(stopped_z)
  groups = log_w.reshape(num_groups, num_samples)
  weights = normalise(groups).ravel() / num_groups
  slope, weights = jax.lax.stop_gradient((*pull(weights), weights))
  path = sum(
    jax.tree.leaves(jax.tree.map(lambda s, z: jnp.sum(s * z), slope, z))
  )
  surrogate = path - jnp.sum(weights * jax.vmap(q.log_prob)(z))
  bound += surrogate - jax.lax.stop_gradient(surrogate)
  return first_order_only(bound, 'piw_elbo', 'miw_elbo')


def ciw_elbo(
  key: Key,
  q: Distribution,
  log_joint: LogDensity,
  *,
  num_samples: int,
  elbo_weight: float,
  estimator: str = 'pathwise',
) -> Array:
  """Estimates a combination of the ELBO and L_K of the same samples (CIWAE).

  a ELBO + (1 - a) L_K, a lower bound on log p(x) too.

  Args:
    key: consumed.
    q: q(z|x).
    log_joint: z -> log p(x, z), `[]`.
    num_samples: K, at least 1.
    elbo_weight: a, from 0 to 1.
    estimator: 'pathwise', or 'dreg', which is 'stl' for the ELBO.

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
  _check_combination(elbo_weight, estimator)

  def combine(log_w: Array) -> Array:
    tight = (1 - elbo_weight) * log_mean_exp(log_w)
    # 0 times the -inf of a draw outside p's support would be nan.
    loose = elbo_weight * jnp.mean(log_w) if elbo_weight else 0.0
    return loose + tight

  def scales(log_w: Array) -> Array:
    # To elbo_weight / K + (1 - elbo_weight) v_k^2 from the same with v_k.
    v = normalise(log_w)
    weight = elbo_weight / num_samples + (1 - elbo_weight) * v
    divisor = jnp.where(weight > 0, weight, 1)
    return 1 - (1 - elbo_weight) * v * (1 - v) / divisor

  if estimator == 'pathwise':
    z, log_q = _draws.draw_with_log_prob(key, q, num_samples)
    log_p, _ = _draws.evaluate(_draws.with_aux(log_joint, False), z)
    return combine(log_p - log_q)
  _draws.require_inverse(q, "estimator 'dreg'")
  z = reparameterise_many(key, q, num_samples)
  bound = combine(scaled_log_weights(q, log_joint, z, scales))
  return first_order_only(bound, "estimator 'dreg'", "'pathwise'")


def _check_combination(elbo_weight: float, estimator: str) -> None:
  if not 0 <= elbo_weight <= 1:
    raise ValueError(f'elbo_weight is {elbo_weight}: must be from 0 to 1')
  if estimator not in ('pathwise', 'dreg'):
    raise ValueError(
      f"estimator is {estimator!r}: must be 'pathwise' or 'dreg'"
    )


def renyi_elbo(
  key: Key,
  q: Distribution,
  log_joint: LogDensity,
  *,
  num_samples: int,
  alpha: float,
) -> Array:
  """Estimates the variational Renyi bound of one example.

  1/(1 - alpha) log 1/K sum_k w_k^(1 - alpha), decreasing in alpha: alpha = 0
  is the importance-weighted bound, alpha -> 1 the ELBO. For alpha >= 0 it is a
  lower bound on log p(x) in expectation; with negative alpha and many samples
  it exceeds log p(x). alpha = -inf takes the largest weight only (VR-max).

  Args:
    key: consumed.
    q: q(z|x).
    log_joint: z -> log p(x, z), `[]`.
    num_samples: K, at least 1.
    alpha: the order; any number, or -inf.

  Returns:
    `[]`, in nats, with the pathwise gradient.

  Raises:
    ValueError: `num_samples` below 1, alpha is nan or inf.
    TypeError: q cannot be reparameterised.

  References:
    Li and Turner 2016, Renyi Divergence Variational Inference, eq. (13).

  Examples:
    >>> q = vj.Normal(0.0, 0.0)
    >>> log_joint = lambda z: q.log_prob(z) - 2.0  # p(x) = exp(-2)
    >>> key = jax.random.key(0)
    >>> bound = vj.renyi_elbo(key, q, log_joint, num_samples=3, alpha=0.5)
    >>> print(f'{bound:.3f}')
    -2.000
  """
  if not alpha < float('inf'):
    raise ValueError(f'alpha is {alpha}: must be a number, or -inf')
  z, log_q = _draws.draw_with_log_prob(key, q, num_samples)
  log_p, _ = _draws.evaluate(_draws.with_aux(log_joint, False), z)
  log_w = log_p - log_q
  if alpha == 1:
    return jnp.mean(log_w)
  if alpha == -float('inf'):
    return jnp.max(log_w)
  return _log_power_mean(log_w, 1 - alpha)


def _log_power_mean(log_w: Array, power: float) -> Array:
  """Returns 1/p log 1/K sum_k w_k^p, `[]`; accurate for p near 0."""
  extreme = jnp.max(log_w) if power > 0 else jnp.min(log_w)
  impossible = extreme == -jnp.inf
  # Relative to the dominant weight no power exceeds 1, and the gradient with
  # respect to that weight cancels.
  centre = jax.lax.stop_gradient(jnp.where(impossible, 0, extreme))
  powers = power * jnp.where(impossible, 0, log_w - centre)
  shift = jnp.mean(jnp.expm1(powers))
  near = shift > -0.5
  mean = jnp.where(
    near, jnp.log1p(jnp.where(near, shift, 0)), log_mean_exp(powers)
  )
  return jnp.where(impossible, -jnp.inf, centre + mean / power)


def _check_groups(num_groups: int) -> None:
  if num_groups < 1:
    raise ValueError(f'num_groups is {num_groups}: must be at least 1')
