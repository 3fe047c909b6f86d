"""Decomposition of the inference gap: approximation and amortisation gaps."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from vae_jax.distributions import Distribution
from vae_jax.evaluate import chunks
from vae_jax.evaluate.chunks import Progress, map_chunks
from vae_jax.evaluate.free_parameters import free_parameters
from vae_jax.evaluate.statistics import Estimate, estimate_mean
from vae_jax.models import LatentModel
from vae_jax.objectives import iw_elbo
from vae_jax.training.mesh import chunk_size, jit, over_examples, place
from vae_jax.training.optimizer import make_adam, update
from vae_jax.types import Array, Example, Key, LogDensity, Params

_EXAMPLES = 50
# Samples per gradient, per bound, and per estimate of log p(x).
_FIT, _ELBO, _LOG_P = 10, 500, 5000
_LEARNING_RATE = 1e-2


class Gaps(NamedTuple):
  """Bounds and their differences, each an `Estimate` over examples, in nats.

  Attributes:
    log_marginal: log p(x), by importance sampling under q*.
    best_elbo: L[q*], the bound of the best q of the same family.
    elbo: L[q], the bound of the encoder's q.
    approximation: approximation gap, log p(x) - L[q*].
    amortisation: amortisation gap, L[q*] - L[q].
  """

  log_marginal: Estimate
  best_elbo: Estimate
  elbo: Estimate
  approximation: Estimate
  amortisation: Estimate


def measure_gaps(
  key: Key,
  model: LatentModel,
  params: Params,
  data: Any,
  *,
  num_steps: int = 1000,
  progress: Progress = iter,
  mesh: Mesh | None = None,
) -> Gaps:
  """Decomposes log p(x) - L[q] into approximation and amortisation gaps.

  q* maximises the bound of one example over the parameters of q, starting from
  the encoder's q, by Adam with a cosine-decayed learning rate.

  Args:
    key: consumed.
    model: any `LatentModel` whose posterior can be reparameterised.
    params: parameters of the model.
    data: pytree of `[N, ...]` arrays; an integer x is cast to float32.
    num_steps: gradient steps per example.
    progress: wraps the range of chunks.
    mesh: devices over which the examples are sharded; None for one.

  Returns:
    `Gaps`.

  Raises:
    ValueError: no data, or `num_steps` below 1.
    TypeError: q cannot be reparameterised.

  References:
    Cremer, Li and Duvenaud 2018, Inference Suboptimality in Variational
    Autoencoders, section 3.1.
  """
  count = chunks.count_examples(data)
  if num_steps < 1:
    raise ValueError(f'num_steps is {num_steps}: must be at least 1')
  one = _make_example(model, num_steps)
  axes = (0, None, 0)
  chunk = jit(over_examples(jax.vmap(one, axes), axes, mesh), mesh)
  keys, params = jax.random.split(key, count), place(params, mesh)
  found = map_chunks(
    lambda index: chunk(keys[index], params, chunks.take(data, index)),
    count,
    chunk_size(count, _EXAMPLES, mesh),
    progress,
  )
  log_p, best, elbo = (x.astype(np.float64) for x in found)
  values = (log_p, best, elbo, log_p - best, best - elbo)
  return Gaps(*map(estimate_mean, values))


def _make_example(
  model: LatentModel, num_steps: int
) -> Callable[[Key, Params, Example], tuple[Array, Array, Array]]:
  """Makes log p(x), L[q*] and L[q] of one example."""

  def example(
    key: Key, params: Params, example: Example
  ) -> tuple[Array, Array, Array]:
    fit_key, elbo_key, log_p_key = jax.random.split(key, 3)
    inference = chunks.condition(model, params, example)
    q, log_joint = inference.posterior, inference.log_joint
    best_q = fit_posterior(fit_key, q, log_joint, num_steps)
    # Common random numbers: only the difference of the bounds matters.
    best, own = (
      _elbo(jax.random.clone(elbo_key), q, log_joint) for q in (best_q, q)
    )
    return _log_marginal(log_p_key, best_q, log_joint), best, own

  return example


def fit_posterior(
  key: Key, q: Distribution, log_joint: LogDensity, num_steps: int
) -> Distribution:
  """Maximises the ELBO of one example over the parameters of q.

  A parameter with a lower bound moves as the logarithm of its excess, and those
  that choose the family, such as degrees of freedom, are held fixed.

  Args:
    key: consumed.
    q: start of the optimisation; its family is kept.
    log_joint: z -> log p(x, z), `[]`.
    num_steps: gradient steps.

  Returns:
    q*, of the family of q.
  """
  optimizer = make_adam(
    lambda step: _LEARNING_RATE * 0.5 * (1 + jnp.cos(jnp.pi * step / num_steps))
  )
  # STL has the lowest variance near the optimum, but needs log q at given z.
  cheap = q.has_inverse and not q.inverse_is_sequential
  estimator = 'stl' if cheap else 'pathwise'

  free, rebuild = free_parameters(q)

  def loss(free: Any, key: Key) -> Array:
    q = rebuild(free)
    keys = jax.random.split(key, _FIT)
    bound = lambda key: iw_elbo(
      key, q, log_joint, num_samples=1, estimator=estimator
    )
    return -jnp.mean(jax.vmap(bound)(keys))

  def step(carry: Any, i: Array) -> Any:
    free, state = carry
    gradient = jax.grad(loss)(free, jax.random.fold_in(key, i))
    return update(optimizer, gradient, state, free), None

  start = (free, optimizer.init(free))
  (free, _), _ = jax.lax.scan(step, start, jnp.arange(num_steps))
  return rebuild(free)


def _elbo(key: Key, q: Distribution, log_joint: LogDensity) -> Array:

  def one(key: Key) -> Array:
    z, log_q = chunks.draw_with_log_prob(key, q)
    return log_joint(z) - log_q

  return jnp.mean(jax.vmap(one)(jax.random.split(key, _ELBO)))


def _log_marginal(key: Key, q: Distribution, log_joint: LogDensity) -> Array:
  # In chunks: the activations of the decoder for all samples do not fit.
  parts = jax.lax.map(
    lambda i: iw_elbo(
      jax.random.fold_in(key, i), q, log_joint, num_samples=_ELBO
    ),
    jnp.arange(_LOG_P // _ELBO),
  )
  return jax.nn.logsumexp(parts) - jnp.log(len(parts))
