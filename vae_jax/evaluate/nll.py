"""The likelihood of every example of a split, by importance sampling."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions import sample
from vae_jax.evaluate import chunks
from vae_jax.evaluate.chunks import Progress, as_float, map_chunks
from vae_jax.evaluate.elbo import mean_and_standard_error
from vae_jax.model import VAE
from vae_jax.objectives import vae_log_joint
from vae_jax.types import Array, Key, Params

# Examples whose draws share one compiled call.
_EXAMPLES = 64
_CURVE = (1, 10, 100, 1000)


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


class NllCurve(NamedTuple):
  """Estimates that differ in K, from the same draws.

  Attributes:
    at: K -> `Nll`, the K rising.
    effective_sample_size: (sum_k w_k)^2 / sum_k w_k^2 of the most draws, `[N]`.
  """

  at: dict[int, Nll]
  effective_sample_size: np.ndarray


def curve_points(num_samples: int) -> tuple[int, ...]:
  """Returns 1, 10, 100, 1000 as far as they lie below K, and K."""
  return (*(k for k in _CURVE if k < num_samples), num_samples)


def estimate_nll(
  key: Key,
  vae: VAE,
  params: Params,
  data: Any,
  *,
  num_samples: int,
  progress: Progress = iter,
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
  curve = estimate_nll_curve(
    key, vae, params, data, num_samples=(num_samples,), progress=progress
  )
  return curve.at[num_samples]


def estimate_nll_curve(
  key: Key,
  vae: VAE,
  params: Params,
  data: Any,
  *,
  num_samples: Sequence[int],
  progress: Progress = iter,
) -> NllCurve:
  """Estimates -log p(x) as `estimate_nll` does, at several K in one pass.

  The estimate at K is made of the first K draws, so that it is the number
  which `estimate_nll` gives for the same key.

  Args:
    key: consumed.
    vae: the model.
    params: its parameters.
    data: `[N, *data_shape]`.
    num_samples: the K, rising, each at least 1.
    progress: wraps the range of chunks.

  Returns:
    `NllCurve`.

  Raises:
    ValueError: no K, K that do not rise or below 1, or no data.
  """
  _check(num_samples, data)
  size = chunks.example_size(vae, params, data)
  examples = min(len(data), _EXAMPLES)
  draws = max(
    1, min(max(num_samples), chunks.CHUNK_FLOATS // (size * examples))
  )
  log_likelihoods = jax.jit(
    jax.vmap(
      _make_log_marginals(vae, tuple(num_samples), draws), (None, None, 0, 0)
    )
  )
  log_p, spread = map_chunks(
    lambda index: log_likelihoods(key, params, index, data[index]),
    len(data),
    examples,
    progress,
  )
  at = {
    k: Nll(*mean_and_standard_error(-log_p[:, i]), -log_p[:, i])
    for i, k in enumerate(num_samples)
  }
  return NllCurve(at, spread)


def _check(num_samples: Sequence[int], data: Any) -> None:
  for k in num_samples:
    if k < 1:
      raise ValueError(f'num_samples is {k}: must be at least 1')
  if not num_samples or list(num_samples) != sorted(set(num_samples)):
    raise ValueError(f'num_samples is {tuple(num_samples)}: must be rising')
  if len(data) == 0:
    raise ValueError('data holds no example')


def _make_log_marginals(
  vae: VAE, num_samples: tuple[int, ...], draws: int
) -> Callable[[Key, Params, Array, Array], tuple[Array, Array]]:
  """Makes log 1/K sum_k w_k of one example at each K, and its sample size."""

  def log_marginals(
    key: Key, params: Params, index: Array, x: Array
  ) -> tuple[Array, Array]:
    x = as_float(x)
    example_key = jax.random.fold_in(key, index)
    q, log_joint = vae.encode(params, x), vae_log_joint(vae, params, x)

    def log_weight(k: Array, end: int) -> Array:
      z = sample(jax.random.fold_in(example_key, k), q)
      log_w = log_joint(z) - q.log_prob(z)
      # The draws past the end that fill the last chunk weigh nothing.
      return jnp.where(k < end, log_w.astype(jnp.float32), -jnp.inf)

    def add(carry: tuple[Array, Array], start: int, end: int) -> Any:
      count = min(draws, end - start)

      def add_chunk(carry: tuple[Array, Array], first: Array) -> Any:
        log_w = jax.vmap(log_weight, (0, None))(first + jnp.arange(count), end)
        total, squares = carry
        total = jnp.logaddexp(total, jax.nn.logsumexp(log_w))
        squares = jnp.logaddexp(squares, jax.nn.logsumexp(2 * log_w))
        return (total, squares), None

      return jax.lax.scan(add_chunk, carry, jnp.arange(start, end, count))[0]

    carry = jnp.float32(-jnp.inf), jnp.float32(-jnp.inf)
    found = []
    for start, end in zip((0, *num_samples), num_samples, strict=False):
      carry = add(carry, start, end)
      found.append(carry[0] - jnp.log(end))
    return jnp.stack(found), jnp.exp(2 * carry[0] - carry[1])

  return log_marginals
