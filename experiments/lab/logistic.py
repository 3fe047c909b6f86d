"""Bayesian logistic regression on breast cancer with each gradient estimator.

The log-joint is log N(w; 0, I) + sum_n log Bernoulli(y_n; x_n'w). Stochastic
gradient ascent on minibatches maximises the bound E_q[log p(y|w)] - KL(q || p),
with the KL divergence in closed form.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.distributions import (
  Bernoulli,
  Distribution,
  MultivariateNormal,
  Normal,
  kl,
)
from vae_jax.estimators import measure_valued, pathwise, score_function
from vae_jax.training.optimizer import (
  Optimizer,
  make_adam,
  make_sgd,
  update,
)
from vae_jax.types import Array, Key, Params

# Mohamed et al. 2020, section 8.3.
_BATCH, _SAMPLES = 32, 50
_SNAPSHOTS = 10
_VARIANCE_DRAWS = 200
# Decay of the running mean of f, the baseline of 'score, moving average'.
_DECAY = 0.9

Estimator = Callable[[Key, Distribution, Any, Array], Array]


def _estimator(function: Callable[..., Array], **options: Any) -> Estimator:
  return lambda key, q, f, average: function(
    key, q, f, num_samples=_SAMPLES, **options
  )


def _moving_average(key: Key, q: Distribution, f: Any, average: Array) -> Array:
  """Uses a running mean of f over earlier steps as the baseline."""
  return score_function(key, q, f, num_samples=_SAMPLES, baseline=average)


ESTIMATORS: dict[str, Estimator] = {
  'pathwise': _estimator(pathwise),
  'score function': _estimator(score_function),
  'score, moving average': _moving_average,
  'score, leave-one-out': _estimator(score_function, baseline='leave_one_out'),
  'score, delta': _estimator(score_function, baseline='delta'),
  'measure-valued, coupled': _estimator(measure_valued),
}


class Posterior(NamedTuple):
  """Variational family of q(w).

  Attributes:
    name: name of the family.
    optimizer: optimizer, the same for every estimator.
    init: number of weights -> params.
    make: params -> q.
  """

  name: str
  optimizer: Optimizer
  init: Callable[[int], Params]
  make: Callable[[Params], Distribution]


def _full(params: Params) -> MultivariateNormal:
  """Returns a normal with lower-triangular C and exponentiated diagonal."""
  raw = params['raw_scale']
  diagonal = jnp.diag(jnp.exp(jnp.diagonal(raw)))
  return MultivariateNormal(params['loc'], jnp.tril(raw, -1) + diagonal)


POSTERIORS = (
  Posterior(
    'diagonal',
    make_sgd(1e-3),
    lambda n: {'loc': jnp.zeros(n), 'log_scale': jnp.full(n, -1.0)},
    lambda params: Normal(**params),
  ),
  Posterior(
    'full',
    # With plain SGD the score function diverges at every useful step size.
    make_adam(1e-3),
    lambda n: {'loc': jnp.zeros(n), 'raw_scale': -jnp.eye(n)},
    _full,
  ),
)


def supports(estimator: str, posterior: Posterior) -> bool:
  """Returns whether the estimator supports the posterior's parameters."""
  return posterior.name == 'diagonal' or 'measure' not in estimator


class State(NamedTuple):
  """Training state: parameters, optimizer state and running mean of f."""

  params: Params
  opt_state: Any
  average: Array


class Run(NamedTuple):
  """Training run of one estimator.

  Attributes:
    params: final parameters.
    snapshots: `State` at `steps`, each leaf with a leading axis.
    steps: steps at which the bound was measured, `[_SNAPSHOTS + 1]`.
    elbo: bound on all the data at `steps`, `[_SNAPSHOTS + 1]`, in nats.
  """

  params: Params
  snapshots: State
  steps: Array
  elbo: Array


def _log_likelihood(features: Array, labels: Array, w: Array) -> Array:
  return Bernoulli(features @ w).log_prob(labels)


def _batch_objective(
  posterior: Posterior,
  estimator: Estimator,
  features: Array,
  labels: Array,
  batch_key: Key,
  draw_key: Key,
  state: State,
) -> tuple[Array, Array]:
  """Returns the bound on a random minibatch, and its likelihood term."""
  index = jax.random.choice(batch_key, len(labels), (_BATCH,))
  weight = len(labels) / _BATCH
  f = lambda w: weight * _log_likelihood(features[index], labels[index], w)
  q = posterior.make(state.params)
  likelihood = estimator(draw_key, q, f, state.average)
  size = features.shape[1]
  prior = Normal(jnp.zeros(size), jnp.zeros(size))
  return likelihood - kl(q, prior), likelihood


def train(
  key: Key,
  posterior: Posterior,
  estimator: Estimator,
  features: Array,
  labels: Array,
  num_steps: int,
) -> Run:
  """Maximises the bound; equal keys give equal minibatches."""
  objective = functools.partial(
    _batch_objective, posterior, estimator, features, labels
  )

  def step(state: State, key: Key) -> tuple[State, None]:
    batch_key, draw_key = jax.random.split(key)
    gradient = jax.grad(
      lambda params: objective(
        batch_key, draw_key, state._replace(params=params)
      ),
      has_aux=True,
    )
    grads, likelihood = gradient(state.params)
    descent = jax.tree.map(jnp.negative, grads)
    new = update(posterior.optimizer, descent, state.opt_state, state.params)
    average = _DECAY * state.average + (1 - _DECAY) * likelihood
    return State(*new, average), None

  def advance(state: State, keys: Key) -> tuple[State, State]:
    last, _ = jax.lax.scan(step, state, keys)
    return last, last

  params = posterior.init(features.shape[1])
  average = _log_likelihood(features, labels, jnp.zeros(features.shape[1]))
  start = State(params, posterior.optimizer.init(params), average)
  per_snapshot = max(1, num_steps // _SNAPSHOTS)
  train_key, elbo_key = jax.random.split(key)
  keys = jax.random.split(train_key, (_SNAPSHOTS, per_snapshot))
  last, later = jax.jit(lambda s, k: jax.lax.scan(advance, s, k))(start, keys)
  snapshots = jax.tree.map(
    lambda first, rest: jnp.concatenate([first[None], rest]), start, later
  )
  # Common random numbers at all snapshots.
  bound = lambda params: full_bound(
    jax.random.clone(elbo_key), posterior, features, labels, params
  )
  elbo = jax.jit(lambda p: jax.lax.map(bound, p))(snapshots.params)
  return Run(
    last.params, snapshots, per_snapshot * jnp.arange(_SNAPSHOTS + 1), elbo
  )


def full_bound(
  key: Key,
  posterior: Posterior,
  features: Array,
  labels: Array,
  params: Params,
  num_samples: int = 1000,
) -> Array:
  """Returns the bound on all the data, `[]`, in nats."""
  q = posterior.make(params)
  f = functools.partial(_log_likelihood, features, labels)
  size = features.shape[1]
  prior = Normal(jnp.zeros(size), jnp.zeros(size))
  return pathwise(key, q, f, num_samples=num_samples) - kl(q, prior)


def gradient_variances(
  key: Key,
  posterior: Posterior,
  estimator: Estimator,
  features: Array,
  labels: Array,
  snapshots: State,
) -> dict[str, Array]:
  """Returns the variance of one gradient at each snapshot, summed over entries.

  The minibatch is fixed, and equal keys give all estimators the same draws.
  """

  def at(state: State) -> dict[str, Array]:
    # Common random numbers at all snapshots.
    batch_key, draws_key = jax.random.split(jax.random.clone(key))

    def bound(key: Key, params: Params) -> Array:
      return _batch_objective(
        posterior,
        estimator,
        features,
        labels,
        jax.random.clone(batch_key),
        key,
        state._replace(params=params),
      )[0]

    # Few at a time: one gradient evaluates 50 draws x 31 weights x 2 points.
    draws = jax.lax.map(
      lambda key: jax.grad(bound, 1)(key, state.params),
      jax.random.split(draws_key, _VARIANCE_DRAWS),
      batch_size=4,
    )
    return jax.tree.map(lambda x: jnp.sum(jnp.var(x, axis=0, ddof=1)), draws)

  return jax.jit(lambda s: jax.lax.map(at, s))(snapshots)
