"""What a trained model is worth: its bound and its likelihood on a split."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions import has_kl, sample
from vae_jax.model import VAE
from vae_jax.objectives import ElboTerms, vae_elbo, vae_log_joint
from vae_jax.types import Array, Key, Params

# Floats of one intermediate array: small enough for a CPU's cache to help.
_CHUNK_FLOATS = 2**20
# Examples whose draws share one compiled call of `estimate_nll`.
_NLL_EXAMPLES = 64


class EvaluationKeys(NamedTuple):
  """One key a purpose, the same in every run: curves of runs compare."""

  binarise: Key
  elbo: Key
  nll: Key
  figures: Key
  gradients: Key


def evaluation_keys() -> EvaluationKeys:
  """Returns the keys of all that is evaluated, whatever the run's seed."""
  return EvaluationKeys(*jax.random.split(jax.random.key(20131220), 5))


class Nll(NamedTuple):
  """An estimate of -E[log p(x)] over a split, in nats.

  Attributes:
    mean: over the examples.
    standard_error: of that mean, over the examples; nan for one example.
    per_example: `[N]`.
  """

  mean: float
  standard_error: float
  per_example: np.ndarray


def mean_and_standard_error(values: np.ndarray) -> tuple[float, float]:
  """Returns the mean of `[N]` values and its standard error, in float64."""
  values = np.asarray(values, np.float64)
  if len(values) < 2:
    return float(np.mean(values)), float('nan')
  error = np.std(values, ddof=1) / np.sqrt(len(values))
  return float(np.mean(values)), float(error)


def make_evaluate_elbo(
  vae: VAE,
) -> Callable[[Key, Params, Array], ElboTerms]:
  """Makes the jitted function that bounds every example of a split.

  Returns:
    `evaluate_elbo(key, params, data) -> ElboTerms`, each `[N]`, in nats: one
    draw an example, closed-form KL where the pair has one, beta = 1 whatever
    the training used. The same key gives the same draws to every model.
  """

  def evaluate_elbo(key: Key, params: Params, data: Array) -> ElboTerms:
    def one(index_and_x: tuple[Array, Array]) -> ElboTerms:
      index, x = index_and_x
      example_key = jax.random.fold_in(key, index)
      x = _as_float(x)
      pair = vae.encode(params, x), vae.prior(params)
      form = 'kl' if has_kl(*pair) else 'joint'
      # Of a q that cannot be reparameterised as well: no gradient is taken.
      return vae_elbo(
        vae, example_key, params, x, form=form, estimator='score_function'
      )

    batch = max(1, min(len(data), _CHUNK_FLOATS // _size(data)))
    return jax.lax.map(one, (jnp.arange(len(data)), data), batch_size=batch)

  return jax.jit(evaluate_elbo)


def estimate_nll(
  key: Key,
  vae: VAE,
  params: Params,
  data: Any,
  *,
  num_samples: int,
  progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> Nll:
  """Estimates -log p(x) of every example by importance sampling.

  log p(x) ~ log 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x), z_k ~ q(z|x),

  a lower bound in expectation that tightens with K: numbers of different K do
  not compare. Exactly K draws an example, in chunks of bounded memory that
  change neither the draws nor the result beyond rounding; sums are kept in
  log space and float32.

  Args:
    key: consumed; draw k of example n has its own key, whatever the chunks.
    vae: the model.
    params: its parameters.
    data: `[N, *data_shape]`, as the likelihood takes it (uint8 0/1 will do).
    num_samples: K, at least 1.
    progress: wraps the range of chunks, to show how far it is.

  Returns:
    `Nll`, in nats.

  Raises:
    ValueError: `num_samples` below 1, or no data.

  References:
    Burda, Grosse and Salakhutdinov 2015, Importance Weighted Autoencoders,
    eq. (8); the number their table 1 reports has K = 5000.
  """
  if num_samples < 1:
    raise ValueError(f'num_samples is {num_samples}: must be at least 1')
  if len(data) == 0:
    raise ValueError('data holds no example')
  examples = min(len(data), _NLL_EXAMPLES)
  draws = max(1, min(num_samples, _CHUNK_FLOATS // (_size(data) * examples)))
  log_likelihoods = jax.jit(
    jax.vmap(_make_log_marginal(vae, num_samples, draws), (None, None, 0, 0))
  )
  parts = []
  for start in progress(range(0, len(data), examples)):
    # The last chunk is padded by repetition, so that one trace serves all.
    index = np.minimum(np.arange(start, start + examples), len(data) - 1)
    values = log_likelihoods(key, params, index, data[index])
    parts.append(values[: len(data) - start])
  per_example = -np.concatenate([np.asarray(part) for part in parts])
  return Nll(*mean_and_standard_error(per_example), per_example)


def _make_log_marginal(
  vae: VAE, num_samples: int, draws: int
) -> Callable[[Key, Params, Array, Array], Array]:
  """Makes log 1/K sum_k w_k of one example, `draws` weights at a time."""

  def log_marginal(key: Key, params: Params, index: Array, x: Array) -> Array:
    x = _as_float(x)
    example_key = jax.random.fold_in(key, index)
    q, log_joint = vae.encode(params, x), vae_log_joint(vae, params, x)

    def log_weight(k: Array) -> Array:
      z = sample(jax.random.fold_in(example_key, k), q)
      log_w = log_joint(z) - q.log_prob(z)
      # The draws past K that fill the last chunk weigh nothing.
      return jnp.where(k < num_samples, log_w.astype(jnp.float32), -jnp.inf)

    def add_chunk(total: Array, first: Array) -> tuple[Array, None]:
      log_w = jax.vmap(log_weight)(first + jnp.arange(draws))
      return jnp.logaddexp(total, jax.nn.logsumexp(log_w)), None

    firsts = jnp.arange(0, num_samples, draws)
    total, _ = jax.lax.scan(add_chunk, jnp.float32(-jnp.inf), firsts)
    return total - jnp.log(num_samples)

  return log_marginal


def _as_float(x: Array) -> Array:
  return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.float32)


def _size(data: Any) -> int:
  """Returns the number of floats in one example."""
  return max(1, int(np.prod(data.shape[1:])))
