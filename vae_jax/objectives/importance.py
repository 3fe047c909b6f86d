"""The importance-weighted bound of one example and its gradient estimators."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.distributions import (
  Distribution,
  reparameterise_many,
  sample_many,
)
from vae_jax.estimators import evaluate_scalar, scale_gradient, score_weight
from vae_jax.types import Array, ArrayLike, Key, LogDensity


def iw_elbo(
  key: Key,
  q: Distribution,
  log_joint: LogDensity,
  *,
  num_samples: int,
  estimator: str = 'pathwise',
) -> Array:
  """Estimates the importance-weighted bound of one example.

  L_K = E[log 1/K sum_k w_k], w_k = p(x, z_k) / q(z_k|x), z_k ~ q(z|x):
  L_1 is the ELBO, and L_K grows with K towards log p(x). With the normalised
  weights v_k = w_k / sum_j w_j, the gradient in theta, which `log_joint`
  closes over, is sum_k v_k grad log p(x, z_k) for every estimator; in phi,
  the parameters of q, it is

  * 'pathwise': sum_k v_k grad log w_k, z_k = g(phi, eps_k), all of it;
  * 'dreg', doubly reparameterised: sum_k v_k^2 (d log w_k / d z_k) (d z_k /
    d phi), phi inside log q(z_k) held;
  * 'stl', sticking the landing: the same for K = 1, and biased beyond;
  * 'score_function': L_K sum_k grad log q(z_k) - sum_k v_k grad log q(z_k),
    for any q, also a discrete one;
  * 'vimco': the same, less a baseline a draw, L_K with w_k replaced by the
    geometric mean of the other weights; for K of 2 and more.

  The value is the bound itself, whatever carries the gradient.

  Args:
    key: consumed; the same key gives every estimator the same draws.
    q: q(z|x), over an event `[Z]`.
    log_joint: z -> log p(x, z), `[]`; any log-joint, up to a constant.
    num_samples: K, at least 1.
    estimator: of the gradient, one of the above.

  Returns:
    `[]`, in nats.

  Raises:
    ValueError: an unknown estimator, `num_samples` below 1 or not for this
      estimator, a `log_joint` that returns no scalar.
    TypeError: a q that the estimator does not serve.

  References:
    Burda, Grosse and Salakhutdinov 2015, Importance Weighted Autoencoders,
    eq. (8), (13); Tucker et al. 2018, Doubly Reparameterized Gradient
    Estimators, eq. (8); Roeder, Wu and Duvenaud 2017, Sticking the Landing,
    eq. (5); Mnih and Rezende 2016, Variational Inference for Monte Carlo
    Objectives, eq. (6) for 'score_function', (10) for 'vimco'.
  """
  if estimator not in ESTIMATORS:
    raise ValueError(
      f'estimator is {estimator!r}: must be one of {tuple(ESTIMATORS)}'
    )
  if estimator == 'stl' and num_samples > 1:
    raise ValueError(
      f"num_samples is {num_samples}: estimator 'stl' is biased beyond 1, use "
      "'dreg'"
    )
  if estimator == 'vimco' and num_samples < 2:
    raise ValueError(
      f"num_samples is {num_samples}: estimator 'vimco' needs 2 or more"
    )
  return ESTIMATORS[estimator](key, q, log_joint, num_samples)


def mixed_iw_elbo(
  key: Key,
  q: Distribution,
  log_joint: LogDensity,
  *,
  num_samples: int,
  coefficient: ArrayLike,
) -> Array:
  """Estimates the `iw_elbo` by a mixture of two estimators.

  Its gradient is (1 - c) times that of 'pathwise' plus c times that of
  'dreg', in expectation the same for every c that does not depend on these
  draws; `learned_coefficient` estimates the one of least variance.

  Args:
    key: consumed.
    q: as in `iw_elbo`.
    log_joint: as in `iw_elbo`.
    num_samples: K, at least 1.
    coefficient: c, `[]`, never differentiated.

  Returns:
    `[]`, in nats.
  """
  c = coefficient
  z = reparameterise_many(key, q, num_samples)
  weights = jax.nn.softmax(_held_log_weights(q, log_joint, z))
  z = jax.vmap(scale_gradient)(z, 1 - c + c * weights)
  density = jax.tree.map(lambda p: scale_gradient(p, 1 - c), q)
  return log_mean_exp(log_weights(density, log_joint, z))


def log_weights(q: Distribution, log_joint: LogDensity, z: Array) -> Array:
  """Returns log w_k = log p(x, z_k) - log q(z_k), `[K]`, of `[K, *event]`."""
  return evaluate_scalar(lambda z: log_joint(z) - q.log_prob(z), z)


def log_mean_exp(log_w: Array) -> Array:
  """Returns log 1/K sum_k w_k, `[]`, of log w, `[K]`."""
  return jax.nn.logsumexp(log_w) - jnp.log(len(log_w))


def scaled_log_weights(
  q: Distribution,
  log_joint: LogDensity,
  z: Array,
  scales: Callable[[Array], Array],
) -> Array:
  """Returns log w, `[K]`, phi held in log q and its path through z scaled.

  Args:
    q: the distribution.
    log_joint: z -> log p(x, z), `[]`.
    z: its draws, `[K, *event]`, differentiable in phi.
    scales: log w -> the factor of the gradient through each z_k, `[K]`.
  """
  factor = scales(_held_log_weights(q, log_joint, z))
  z = jax.vmap(scale_gradient)(z, factor)
  return log_weights(jax.lax.stop_gradient(q), log_joint, z)


def _held_log_weights(q: Distribution, log_joint: LogDensity, z: Array) -> Any:
  # Compiled, this is no second evaluation: the values are those to come.
  return jax.lax.stop_gradient(log_weights(q, log_joint, z))


def _pathwise(
  key: Key, q: Distribution, log_joint: LogDensity, num_samples: int
) -> Array:
  z = reparameterise_many(key, q, num_samples)
  return log_mean_exp(log_weights(q, log_joint, z))


def _dreg(
  key: Key, q: Distribution, log_joint: LogDensity, num_samples: int
) -> Array:
  z = reparameterise_many(key, q, num_samples)
  # The bound's own gradient brings v_k once; the path needs it squared.
  log_w = scaled_log_weights(q, log_joint, z, jax.nn.softmax)
  return log_mean_exp(log_w)


def _score_function(
  key: Key, q: Distribution, log_joint: LogDensity, num_samples: int
) -> Array:
  z = sample_many(key, q, num_samples)
  bound = log_mean_exp(log_weights(q, log_joint, z))
  return bound + jax.lax.stop_gradient(bound) * jnp.sum(score_weight(q, z) - 1)


def _vimco(
  key: Key, q: Distribution, log_joint: LogDensity, num_samples: int
) -> Array:
  z = sample_many(key, q, num_samples)
  log_w = log_weights(q, log_joint, z)
  bound = log_mean_exp(log_w)
  signal = jax.lax.stop_gradient(bound - _without_each(log_w))
  return bound + jnp.sum(signal * (score_weight(q, z) - 1))


def _without_each(log_w: Array) -> Array:
  """Returns L_K with each w_k replaced by the others' geometric mean, `[K]`."""
  k = len(log_w)
  own = jnp.eye(k, dtype=bool)
  rows = jnp.broadcast_to(log_w, (k, k))
  others = jnp.sum(jnp.where(own, 0, rows), axis=1, keepdims=True) / (k - 1)
  return jax.vmap(log_mean_exp)(jnp.where(own, others, rows))


ESTIMATORS: dict[str, Callable[..., Array]] = {
  'pathwise': _pathwise,
  'stl': _dreg,  # One draw has weight 1.
  'dreg': _dreg,
  'score_function': _score_function,
  'vimco': _vimco,
}
