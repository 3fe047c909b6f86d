"""Bounds of log p(x) over a set of examples, and from both sides."""

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import numpy as np

from vae_jax.ais.annealing import (
  AisResult,
  ais,
  bidirectional_ais,
  chains_at_once,
)
from vae_jax.distributions import sample
from vae_jax.evaluate import (
  as_float,
  example_size,
  map_chunks,
  mean_and_standard_error,
)
from vae_jax.model import VAE
from vae_jax.types import Array, Key, Params

Progress = Callable[[Iterable[int]], Iterable[int]]


class AisEstimate(NamedTuple):
  """A bound of E[log p(x)] over examples, in nats.

  Attributes:
    mean: over the examples.
    standard_error: of that mean, over the examples; nan for one example.
    per_example: `AisResult`, each `[N]`.
  """

  mean: float
  standard_error: float
  per_example: AisResult


class Sandwich(NamedTuple):
  """Bounds of E[log p(x)] over simulated examples, in nats.

  Attributes:
    lower: by chains from p_0 to the posterior.
    upper: by chains from the exact posterior draw to p_0.
    gap: mean of upper - lower, example by example: in expectation it bounds
      what `estimate_ais` of the same options lacks on such data.
    gap_standard_error: of `gap`, over the examples; nan for one example.
  """

  lower: AisEstimate
  upper: AisEstimate
  gap: float
  gap_standard_error: float


def estimate_ais(
  key: Key,
  vae: VAE,
  params: Params,
  data: Any,
  *,
  num_chains: int,
  progress: Progress = iter,
  **options: Any,
) -> AisEstimate:
  """Estimates log p(x) of every example by `ais`, a lower bound.

  Args:
    key: consumed; example n has its own key, whatever the chunks.
    vae: the model.
    params: its parameters.
    data: `[N, *data_shape]`, as the likelihood takes it.
    num_chains: C, at least 1.
    progress: wraps the range of chunks, to show how far it is.
    **options: those of `ais`; `num_temperatures` is required.

  Returns:
    `AisEstimate`, in nats.

  Raises:
    ValueError: as `ais`, or no data.
    TypeError: as `ais`.
  """
  if len(data) == 0:
    raise ValueError('data holds no example')

  def one(key: Key, params: Params, index: Array, x: Array) -> AisResult:
    example_key = jax.random.fold_in(key, index)
    return ais(
      example_key, vae, params, as_float(x), num_chains=num_chains, **options
    )

  many = jax.jit(jax.vmap(one, (None, None, 0, 0)))
  results = map_chunks(
    lambda index: many(key, params, index, data[index]),
    len(data),
    _examples_at_once(len(data), num_chains, example_size(vae, params, data)),
    progress,
  )
  return _estimate(results)


def estimate_sandwich(
  key: Key,
  vae: VAE,
  params: Params,
  *,
  num_examples: int,
  num_chains: int,
  progress: Progress = iter,
  **options: Any,
) -> Sandwich:
  """Bounds E[log p(x)] from both sides, on data that the model simulates.

  z ~ p(z), x ~ p(x|z): z is an exact draw of p(z|x), where the reverse
  chains of `bidirectional_ais` start. Where the gap is small, the lower bound
  of the same options is near log p(x), of data like the model's own.

  Args:
    key: consumed; example n has its own key, whatever the chunks.
    vae: the model.
    params: its parameters.
    num_examples: N, at least 1.
    num_chains: C, at least 1, each way.
    progress: wraps the range of chunks, to show how far it is.
    **options: those of `ais`; `num_temperatures` is required.

  Returns:
    `Sandwich`, in nats.

  Raises:
    ValueError: as `ais`, or `num_examples` below 1.
    TypeError: as `ais`.

  References:
    Grosse, Ghahramani and Adams 2015, Sandwiching the marginal likelihood
    using bidirectional Monte Carlo, section 4; Grosse, Ancha and Roy 2016,
    Measuring the reliability of MCMC inference with bidirectional Monte
    Carlo, section 3.
  """
  if num_examples < 1:
    raise ValueError(f'num_examples is {num_examples}: must be at least 1')

  def simulate(key: Key, params: Params) -> tuple[Array, Array]:
    z_key, x_key = jax.random.split(key)
    z = sample(z_key, vae.prior(params))
    return z, sample(x_key, vae.decode(params, z))

  def one(
    key: Key, params: Params, index: Array
  ) -> tuple[AisResult, AisResult]:
    data_key, key = jax.random.split(jax.random.fold_in(key, index))
    z, x = simulate(data_key, params)
    return bidirectional_ais(
      key, vae, params, x, z, num_chains=num_chains, **options
    )

  many = jax.jit(jax.vmap(one, (None, None, 0)))
  size = jax.eval_shape(simulate, key, params)[1].size
  lower, upper = map_chunks(
    lambda index: many(key, params, index),
    num_examples,
    _examples_at_once(num_examples, 2 * num_chains, size),
    progress,
  )
  gaps = upper.log_marginal - lower.log_marginal
  return Sandwich(
    _estimate(lower), _estimate(upper), *mean_and_standard_error(gaps)
  )


def _examples_at_once(num_examples: int, num_chains: int, size: int) -> int:
  chains = max(1, num_chains)
  most = max(1, chains_at_once(num_examples * chains, size) // chains)
  # As even as can be: the last chunk is padded, and a padding costs as much.
  return math.ceil(num_examples / math.ceil(num_examples / most))


def _estimate(results: AisResult) -> AisEstimate:
  log_marginal = np.asarray(results.log_marginal)
  return AisEstimate(*mean_and_standard_error(log_marginal), results)
