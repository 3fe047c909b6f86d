"""How much of a bound's gap is the family's, and how much the encoder's."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions import Distribution, sample_many
from vae_jax.evaluate.chunks import Progress, as_float, map_chunks
from vae_jax.evaluate.elbo import mean_and_standard_error
from vae_jax.model import VAE
from vae_jax.objectives import iw_elbo, vae_log_joint
from vae_jax.optimizer import apply_updates, make_adam
from vae_jax.types import Array, Key, LogDensity, Params

_EXAMPLES = 50
# Draws of one gradient, of a bound, and of log p(x).
_CLIMB, _ELBO, _LOG_P = 10, 500, 5000
_LEARNING_RATE = 1e-2


class Gaps(NamedTuple):
  """Means over N examples and their standard errors, in nats.

  Attributes:
    log_marginal: log p(x), by importance sampling under q*.
    best_elbo: L[q*], the bound of the best q of the same family.
    elbo: L[q], of the encoder's.
    approximation: log p(x) - L[q*].
    amortisation: L[q*] - L[q].
  """

  log_marginal: tuple[float, float]
  best_elbo: tuple[float, float]
  elbo: tuple[float, float]
  approximation: tuple[float, float]
  amortisation: tuple[float, float]


def measure_gaps(
  key: Key,
  vae: VAE,
  params: Params,
  data: np.ndarray,
  *,
  num_steps: int = 1000,
  progress: Progress = iter,
) -> Gaps:
  """Splits log p(x) - L[q] into what the family and the encoder cost.

  q* maximises the bound of one example over the parameters of q, from the
  encoder's on, by Adam under a rate that falls to 0.

  Args:
    key: consumed.
    vae: the model; q can be reparameterised.
    params: its parameters.
    data: `[N, *data_shape]`, as the likelihood takes it.
    num_steps: gradient steps an example.
    progress: wraps the range of chunks.

  Returns:
    `Gaps`.

  Raises:
    ValueError: no data, or `num_steps` below 1.
    TypeError: q cannot be reparameterised.

  References:
    Cremer, Li and Duvenaud 2018, Inference Suboptimality in Variational
    Autoencoders, section 3.1.
  """
  if len(data) == 0:
    raise ValueError('data holds no example')
  if num_steps < 1:
    raise ValueError(f'num_steps is {num_steps}: must be at least 1')
  one = _make_example(vae, num_steps)
  chunk = jax.jit(jax.vmap(one, (0, None, 0)))
  keys = jax.random.split(key, len(data))
  found = map_chunks(
    lambda index: chunk(keys[index], params, data[index]),
    len(data),
    min(len(data), _EXAMPLES),
    progress,
  )
  log_p, best, elbo = (x.astype(np.float64) for x in found)
  values = (log_p, best, elbo, log_p - best, best - elbo)
  return Gaps(*map(mean_and_standard_error, values))


def _make_example(
  vae: VAE, num_steps: int
) -> Callable[[Key, Params, Array], tuple[Array, Array, Array]]:
  """Makes log p(x), L[q*] and L[q] of one example."""

  def example(key: Key, params: Params, x: Array) -> tuple[Array, Array, Array]:
    x = as_float(x)
    climb_key, elbo_key, log_p_key = jax.random.split(key, 3)
    q, log_joint = vae.encode(params, x), vae_log_joint(vae, params, x)
    best_q = _climb(climb_key, q, log_joint, num_steps)
    # The same noise for both: their difference is what is asked for.
    best, own = (
      _elbo(jax.random.clone(elbo_key), q, log_joint) for q in (best_q, q)
    )
    return _log_marginal(log_p_key, best_q, log_joint), best, own

  return example


def _climb(
  key: Key, q: Distribution, log_joint: LogDensity, num_steps: int
) -> Distribution:
  """Returns the q of this family whose bound is highest."""
  optimizer = make_adam(
    lambda step: _LEARNING_RATE * 0.5 * (1 + jnp.cos(jnp.pi * step / num_steps))
  )

  def loss(q: Distribution, key: Key) -> Array:
    keys = jax.random.split(key, _CLIMB)
    bound = lambda key: iw_elbo(
      key, q, log_joint, num_samples=1, estimator='stl'
    )
    return -jnp.mean(jax.vmap(bound)(keys))

  def step(carry: Any, i: Array) -> Any:
    q, state = carry
    gradient = jax.grad(loss)(q, jax.random.fold_in(key, i))
    updates, state = optimizer.update(gradient, state, q)
    return (apply_updates(q, updates), state), None

  start = (q, optimizer.init(q))
  (q, _), _ = jax.lax.scan(step, start, jnp.arange(num_steps))
  return q


def _elbo(key: Key, q: Distribution, log_joint: LogDensity) -> Array:
  z = sample_many(key, q, _ELBO)
  return jnp.mean(jax.vmap(lambda z: log_joint(z) - q.log_prob(z))(z))


def _log_marginal(key: Key, q: Distribution, log_joint: LogDensity) -> Array:
  # In chunks, because the decoder's activations of all would not fit.
  parts = jax.lax.map(
    lambda i: iw_elbo(
      jax.random.fold_in(key, i), q, log_joint, num_samples=_ELBO
    ),
    jnp.arange(_LOG_P // _ELBO),
  )
  return jax.nn.logsumexp(parts) - jnp.log(len(parts))
