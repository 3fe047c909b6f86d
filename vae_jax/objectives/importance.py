"""The importance-weighted bound of one example and its gradient estimators."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.distributions import (
  Distribution,
  _shapes,
  first_order_only,
  reparameterise_many,
  sample_many,
)
from vae_jax.estimators import log_score, scale_gradient, score_weight
from vae_jax.objectives import _draws, gdreg
from vae_jax.types import Array, ArrayLike, Key, Latent, LogDensity


def iw_elbo(
  key: Key,
  q: Distribution,
  log_joint: LogDensity,
  *,
  num_samples: int,
  estimator: str = 'pathwise',
  prior: Distribution | None = None,
  has_aux: bool = False,
) -> Any:
  """Estimates the importance-weighted bound of one example.

  L_K = E[log 1/K sum_k w_k], w_k = p(x, z_k) / q(z_k|x), z_k ~ q(z|x):
  L_1 is the ELBO, and L_K increases with K towards log p(x). With the
  normalised weights v_k = w_k / sum_j w_j, the gradient with respect to theta,
  which `log_joint` closes over, is sum_k v_k grad log p(x, z_k) for every
  estimator. With respect to phi, the parameters of q, it is

  * 'pathwise': sum_k v_k grad log w_k, z_k = g(phi, eps_k), every term
    differentiated;
  * 'dreg', doubly reparameterised: sum_k v_k^2 (d log w_k / d z_k) (d z_k /
    d phi), phi stop-gradient inside log q(z_k);
  * 'stl', sticking the landing: the same for K = 1; biased for K > 1;
  * 'gdreg', generalised: the same as 'dreg', and the parameters of `prior`
    too get their gradient through z, by the prior's own z = g(lambda, eps);
  * 'score_function': L_K sum_k grad log q(z_k) - sum_k v_k grad log q(z_k),
    for any q, also a discrete one;
  * 'vimco': the same with a baseline per sample, L_K with w_k replaced by the
    geometric mean of the other weights; K of 2 or more.

  The value is the bound itself, whatever carries the gradient. Second
  derivatives of 'pathwise' and 'score_function' are right; the others raise.

  Args:
    key: consumed; the same key gives every estimator the same draws.
    q: q(z|x), over an event `[Z]`.
    log_joint: z -> log p(x, z), `[]`; any log-joint, up to a constant.
    num_samples: K, at least 1.
    estimator: gradient estimator, one of the above.
    prior: p(z), whose density `log_joint` contains; for 'gdreg' only.
    has_aux: whether `log_joint` returns a pair (value, aux).

  Returns:
    `[]`, in nats; with `has_aux`, a pair of it and (z, aux), each with a
    leading axis of K.

  Raises:
    ValueError: an unknown estimator, `num_samples` below 1 or not for this
      estimator, a `log_joint` that returns no scalar, a `prior` that the
      estimator does not read.
    TypeError: a q or a prior that the estimator does not admit.

  References:
    Burda, Grosse and Salakhutdinov 2015, Importance Weighted Autoencoders,
    eq. (8), (13); Tucker et al. 2018, Doubly Reparameterized Gradient
    Estimators, eq. (8); Roeder, Wu and Duvenaud 2017, Sticking the Landing,
    eq. (5); Mnih and Rezende 2016, Variational Inference for Monte Carlo
    Objectives, eq. (6) for 'score_function', (10) for 'vimco'; Bauer and Mnih
    2021, Generalized Doubly Reparameterized Gradient Estimators.

  Examples:
    >>> q = vj.Normal(0.0, 0.0)  # p(z|x), and p(x) = 1
    >>> print(vj.iw_elbo(jax.random.key(0), q, q.log_prob, num_samples=5))
    0.0
  """
  known = tuple(ESTIMATORS)
  if estimator not in known:
    raise ValueError(f'estimator is {estimator!r}: must be one of {known}')
  if estimator == 'stl' and num_samples > 1:
    raise ValueError(
      f"num_samples is {num_samples}: estimator 'stl' is biased for K > 1, use "
      "'dreg'"
    )
  if estimator == 'vimco' and num_samples < 2:
    raise ValueError(
      f"num_samples is {num_samples}: estimator 'vimco' needs 2 or more"
    )
  gdreg.check_prior(prior, estimator)
  if estimator != 'pathwise':
    _draws.require_inverse(q, f'estimator {estimator!r}')
  options = {'prior': prior} if prior is not None else {}
  joint = _draws.with_aux(log_joint, has_aux)
  estimate = ESTIMATORS[estimator]
  bound, z_and_aux = estimate(key, q, joint, num_samples, **options)
  if estimator not in ('pathwise', 'score_function'):
    instead = "'score_function'" if estimator == 'vimco' else "'pathwise'"
    bound = first_order_only(bound, f'estimator {estimator!r}', instead)
  return (bound, z_and_aux) if has_aux else bound


def mixed_iw_elbo(
  key: Key,
  q: Distribution,
  log_joint: LogDensity,
  *,
  num_samples: int,
  coefficient: ArrayLike,
) -> Array:
  """Estimates the `iw_elbo` by a combination of two estimators.

  The gradient is (1 - c) times that of 'pathwise' plus c times that of
  'dreg': equal in expectation for every c that is independent of these draws.
  `learned_coefficient` estimates the c of least variance.

  Args:
    key: consumed.
    q: as in `iw_elbo`.
    log_joint: as in `iw_elbo`.
    num_samples: K, at least 1.
    coefficient: c, `[]`, stop-gradient.

  Returns:
    `[]`, in nats.

  Raises:
    ValueError: as `iw_elbo`.
    TypeError: q cannot be reparameterised, or has no inverse.
  """
  _shapes.assert_rank(coefficient, 0)
  _draws.require_inverse(q, "estimator 'adaptive'")
  c = coefficient
  z = reparameterise_many(key, q, num_samples)
  weights = normalise(_stopped_log_weights(q, log_joint, z))
  z = scale_draws(z, 1 - c + c * weights)
  density = _draws.scale_parameters(q.for_score(), 1 - c, scale_gradient)
  bound = log_mean_exp(log_weights(density, log_joint, z))
  return first_order_only(bound, "estimator 'adaptive'", "'pathwise'")


def log_weights(q: Distribution, log_joint: LogDensity, z: Latent) -> Array:
  """Returns log w_k = log p(x, z_k) - log q(z_k), `[K]`, of `[K, *event]`."""
  return _weights_and_aux(q, _draws.with_aux(log_joint, False), z)[0]


def log_mean_exp(log_w: Array) -> Array:
  """Returns log 1/K sum_k w_k, `[]`, of log w, `[K]`; -inf if all w are 0."""
  _shapes.assert_rank(log_w, 1)
  # The gradient of logsumexp would be nan there.
  impossible = jnp.max(log_w) == -jnp.inf
  total = jax.nn.logsumexp(jnp.where(impossible, 0, log_w))
  return jnp.where(impossible, -jnp.inf, total - jnp.log(len(log_w)))


def normalise(log_w: Array) -> Array:
  """Returns v_k = w_k / sum_j w_j of log w, `[..., K]`; 1/K if all w are 0."""
  impossible = jnp.max(log_w, axis=-1, keepdims=True) == -jnp.inf
  return jax.nn.softmax(jnp.where(impossible, 0, log_w))


def scale_draws(z: Latent, factor: ArrayLike) -> Latent:
  """Scales the gradient through each of `[K, *event]` draws by `[K]`."""
  scale = lambda leaf: jax.vmap(scale_gradient)(leaf, factor)
  return jax.tree.map(scale, z)


def scaled_log_weights(
  q: Distribution,
  log_joint: LogDensity,
  z: Latent,
  scales: Callable[[Array], Array],
) -> Array:
  """Returns log w, `[K]`, with the gradient through each z_k scaled.

  The parameters of q are stop-gradient inside log q.

  Args:
    q: the distribution.
    log_joint: z -> log p(x, z), `[]`.
    z: its draws, `[K, *event]`, differentiable in phi.
    scales: log w -> the factor of the gradient through each z_k, `[K]`.
  """
  joint = _draws.with_aux(log_joint, False)
  return _scaled_weights_and_aux(q, joint, z, scales)[0]


def _weights_and_aux(
  q: Distribution, log_joint: _draws.WithAux, z: Latent
) -> tuple[Array, Any]:
  def log_weight(z: Latent) -> tuple[Array, Any]:
    value, aux = log_joint(z)
    return value - q.log_prob(z), aux

  return _draws.evaluate(log_weight, z)


def _scaled_weights_and_aux(
  q: Distribution,
  log_joint: _draws.WithAux,
  z: Latent,
  scales: Callable[[Array], Array],
) -> tuple[Array, Any]:
  log_w, _ = _weights_and_aux(q, log_joint, z)
  # Compiled, the two evaluations are one: their values are the same.
  z = scale_draws(z, scales(jax.lax.stop_gradient(log_w)))
  stopped = jax.lax.stop_gradient(q.for_score())
  return _weights_and_aux(stopped, log_joint, z)


def _stopped_log_weights(
  q: Distribution, log_joint: LogDensity, z: Latent
) -> Array:
  return jax.lax.stop_gradient(log_weights(q, log_joint, z))


# (bound, (z, aux))
_Bound = tuple[Array, Any]


def _pathwise(
  key: Key, q: Distribution, log_joint: _draws.WithAux, num_samples: int
) -> _Bound:
  z, log_q = _draws.draw_with_log_prob(key, q, num_samples)
  log_p, aux = _draws.evaluate(log_joint, z)
  return log_mean_exp(log_p - log_q), (z, aux)


def _dreg(
  key: Key, q: Distribution, log_joint: _draws.WithAux, num_samples: int
) -> _Bound:
  z = reparameterise_many(key, q, num_samples)
  # The gradient of the bound brings v_k once; the path needs it squared.
  log_w, aux = _scaled_weights_and_aux(q, log_joint, z, normalise)
  return log_mean_exp(log_w), (z, aux)


def _gdreg(
  key: Key, q: Distribution, log_joint: _draws.WithAux, k: int, *, prior: Any
) -> _Bound:
  z = reparameterise_many(key, q, k)
  log_w, _ = _weights_and_aux(q, log_joint, z)
  v = jax.lax.stop_gradient(normalise(log_w))
  log_w, aux = gdreg.reparameterised_weights(q, prior, log_joint, z, v)
  return log_mean_exp(log_w), (z, aux)


def _score_function(
  key: Key, q: Distribution, log_joint: _draws.WithAux, num_samples: int
) -> _Bound:
  z = sample_many(key, q, num_samples)
  log_w, aux = _weights_and_aux(q, log_joint, z)
  bound = log_mean_exp(log_w)
  # The weight of all K draws, unlike the sum of their K weights, is right in
  # derivatives of every order.
  weight = jnp.exp(jnp.sum(log_score(q, z)))
  impossible = bound == -jnp.inf
  surrogate = jnp.where(impossible, 0, bound) * weight
  return jnp.where(impossible, bound, surrogate), (z, aux)


def _vimco(
  key: Key, q: Distribution, log_joint: _draws.WithAux, num_samples: int
) -> _Bound:
  z = sample_many(key, q, num_samples)
  log_w, aux = _weights_and_aux(q, log_joint, z)
  bound = log_mean_exp(log_w)
  finite = lambda x: jnp.where(jnp.isinf(x), 0, x)
  # A draw's baseline is a function of the others, also where they are all
  # impossible and it is 0.
  signal = finite(bound - finite(_without_each(log_w)))
  signal = jax.lax.stop_gradient(signal)
  return bound + jnp.sum(signal * (score_weight(q, z) - 1)), (z, aux)


def _without_each(log_w: Array) -> Array:
  """Returns L_K with each w_k replaced by the others' geometric mean, `[K]`."""
  k = len(log_w)
  own = jnp.eye(k, dtype=bool)
  rows = jnp.broadcast_to(log_w, (k, k))
  others = jnp.sum(jnp.where(own, 0, rows), axis=1, keepdims=True) / (k - 1)
  return jax.vmap(log_mean_exp)(jnp.where(own, others, rows))


ESTIMATORS: dict[str, Callable[..., _Bound]] = {
  'pathwise': _pathwise,
  'stl': _dreg,  # The weight of a single sample is 1.
  'dreg': _dreg,
  'gdreg': _gdreg,
  'score_function': _score_function,
  'vimco': _vimco,
}
