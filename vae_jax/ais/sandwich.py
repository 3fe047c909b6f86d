"""AIS bounds on log p(x) over a data set, and bidirectional Monte Carlo."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from vae_jax.ais.annealing import AisResult, ais, bidirectional_ais
from vae_jax.ais.path import check_continuous
from vae_jax.distributions import Distribution
from vae_jax.evaluate import (
  Estimate,
  Progress,
  condition,
  count_examples,
  estimate_mean,
  example_size,
  map_chunks,
  take,
)
from vae_jax.evaluate.simulation import replace_x, simulate, template
from vae_jax.models import Inference, LatentModel, with_sizes
from vae_jax.training.mesh import (
  chunk_size,
  jit,
  num_devices,
  over_examples,
  place,
)
from vae_jax.types import Array, Example, Key, LogDensity, Params

# Floats in one intermediate array: a CPU is not faster with more at once.
_CHUNK_FLOATS = 2**18

# 'prior', 'posterior', or a function that returns p_0 of an example.
Initial = str | Callable[[Inference], Distribution]


class AisEstimate(NamedTuple):
  """Bound on E[log p(x)] over examples, in nats.

  Attributes:
    mean: mean over the examples.
    standard_error: standard error of the mean over examples; nan for one
      example.
    per_example: `AisResult`, each `[N]`.
  """

  mean: float
  standard_error: float
  per_example: AisResult


class Sandwich(NamedTuple):
  """Bounds on E[log p(x)] over simulated examples, in nats.

  Attributes:
    lower: bound from chains that go from p_0 to the posterior.
    upper: bound from chains that go from the exact posterior sample to p_0.
    gap: `Estimate` of upper - lower, paired by example. In expectation it
      bounds the error of `estimate_ais` with the same options on such data.
  """

  lower: AisEstimate
  upper: AisEstimate
  gap: Estimate


def estimate_ais(
  key: Key,
  model: LatentModel,
  params: Params,
  data: Any,
  *,
  num_chains: int,
  initial: Initial = 'prior',
  progress: Progress = iter,
  mesh: Mesh | None = None,
  **options: Any,
) -> AisEstimate:
  """Estimates log p(x) of every example by `ais`, a lower bound.

  Args:
    key: consumed; each example has its own key, independent of the chunks.
    model: any `LatentModel` with continuous z.
    params: parameters of the model.
    data: pytree of `[N, ...]` arrays; an integer x is cast to float32.
    num_chains: C, at least 1.
    initial: p_0 of the chains: 'prior', 'posterior' for q(z|x), or a function
      of `Inference` that returns a normalised distribution.
    progress: wraps the range of chunks, to display progress.
    mesh: devices over which the examples are sharded; None for one.
    **options: options of `ais`; `num_temperatures` is required.

  Returns:
    `AisEstimate`, in nats.

  Raises:
    ValueError: as `ais`, no data, or an unknown name of p_0.
    TypeError: as `ais`; 'posterior' without inverse.
  """
  count = count_examples(data)
  size = example_size(model, params, data)
  options['batch_size'] = _chains_at_once(num_chains, size)

  def one(
    key: Key, params: Params, index: Array, example: Example
  ) -> AisResult:
    example_key = jax.random.fold_in(key, index)
    inference = condition(model, params, example)
    p_0, log_ratio = _start(initial, inference)
    return ais(
      example_key,
      p_0,
      inference.log_joint,
      log_ratio=log_ratio,
      num_chains=num_chains,
      **options,
    )

  many, (key, params) = _on_mesh(one, mesh), place((key, params), mesh)
  results = map_chunks(
    lambda index: many(key, params, index, take(data, index)),
    count,
    _examples_at_once(count, num_chains, size, mesh),
    progress,
  )
  return _estimate(results)


def estimate_sandwich(
  key: Key,
  model: LatentModel,
  params: Params,
  data: Any = None,
  *,
  num_examples: int,
  num_chains: int,
  initial: Initial = 'prior',
  progress: Progress = iter,
  mesh: Mesh | None = None,
  **options: Any,
) -> Sandwich:
  """Bounds E[log p(x)] from both sides, on data simulated by the model.

  z ~ p(z), x ~ p(x|z): z is an exact sample of p(z|x), the start of the reverse
  chains of `bidirectional_ais`. Where the gap is small, the lower bound with
  the same options is close to log p(x), for data like the simulated data.

  Args:
    key: consumed; each example has its own key, independent of the chunks.
    model: any `LatentModel` with continuous z.
    params: parameters of the model.
    data: pytree of `[M, ...]` arrays whose conditions y are used, in turn:
      simulated example n replaces the x of example n mod M. A `VAE` has no
      conditions and needs no data.
    num_examples: number of simulated examples, N, at least 1.
    num_chains: C per direction, at least 1.
    initial: as in `estimate_ais`.
    progress: wraps the range of chunks, to display progress.
    mesh: devices over which the examples are sharded; None for one.
    **options: options of `ais`; `num_temperatures` is required.

  Returns:
    `Sandwich`, in nats.

  Raises:
    ValueError: as `estimate_ais`, `num_examples` below 1, or no data for a
      model that is not a `VAE`.
    TypeError: as `estimate_ais`; an `initial` other than 'prior' for examples
      that are neither an array nor a dict with an entry 'x'.

  References:
    Grosse et al. 2015, Sandwiching the marginal likelihood using bidirectional
    Monte Carlo, section 4; Grosse et al. 2016, Measuring the reliability of
    MCMC inference with bidirectional Monte Carlo, section 3.
  """
  data = _checked(model, params, data, num_examples)
  count = count_examples(data)
  size = example_size(model, params, data)
  options['batch_size'] = _chains_at_once(num_chains, 2 * size)
  one = _make_simulated(model, initial, num_chains, options)
  many, (key, params) = _on_mesh(one, mesh), place((key, params), mesh)
  lower, upper = map_chunks(
    lambda index: many(key, params, index, take(data, index % count)),
    num_examples,
    _examples_at_once(num_examples, 2 * num_chains, size, mesh),
    progress,
  )
  return _sandwich(lower, upper)


def _checked(
  model: LatentModel, params: Params, data: Any, num_examples: int
) -> Any:
  """Returns the data, or those of a `VAE`, whose examples need none."""
  if num_examples < 1:
    raise ValueError(f'num_examples is {num_examples}: must be at least 1')
  return with_sizes(model, template(model, params) if data is None else data)


def _make_simulated(
  model: LatentModel,
  initial: Initial,
  num_chains: int,
  options: dict[str, Any],
) -> Callable[[Key, Params, Array, Example], tuple[AisResult, AisResult]]:
  """Makes the two bounds of one simulated example."""

  def one(
    key: Key, params: Params, index: Array, example: Example
  ) -> tuple[AisResult, AisResult]:
    data_key, key = jax.random.split(jax.random.fold_in(key, index))
    z, x = simulate(data_key, condition(model, params, example))
    if initial == 'prior':
      inference = condition(model, params, example)._replace(x=x)
    else:
      # p_0 may depend on x through q(z|x).
      inference = condition(model, params, replace_x(example, x))
    p_0, log_ratio = _start(initial, inference)
    return bidirectional_ais(
      key,
      p_0,
      inference.log_joint,
      z,
      log_ratio=log_ratio,
      num_chains=num_chains,
      **options,
    )

  return one


def _start(
  initial: Initial, inference: Inference
) -> tuple[Distribution, LogDensity | None]:
  """Returns p_0, and the exact log p(x, z) - log p_0(z) where it is simpler."""
  check_continuous(inference.prior)
  if initial == 'prior':
    return inference.prior, inference.log_likelihood
  if initial == 'posterior':
    return inference.posterior, None
  if isinstance(initial, str):
    raise ValueError(
      f"initial: got {initial!r}, expected 'prior', 'posterior' or a function "
      'of Inference'
    )
  return initial(inference), None


def _chains_at_once(num_chains: int, size: int) -> int:
  """Returns the number of chains computed at once for x of this size."""
  return max(1, min(num_chains, _CHUNK_FLOATS // size))


def _examples_at_once(
  num_examples: int, num_chains: int, size: int, mesh: Mesh | None
) -> int:
  chains = max(1, num_chains)
  own = chunk_size(num_examples, num_examples, mesh) // num_devices(mesh)
  most = max(1, _chains_at_once(own * chains, size) // chains)
  # Chunks of equal size: padding of the last one would cost as much as data.
  return chunk_size(num_examples, math.ceil(own / math.ceil(own / most)), mesh)


def _on_mesh(one: Callable[..., Any], mesh: Mesh | None) -> Callable[..., Any]:
  """Compiles a function of key, params, index and example for many examples."""
  axes = (None, None, 0, 0)
  return jit(over_examples(jax.vmap(one, axes), axes, mesh), mesh)


def _sandwich(lower: AisResult, upper: AisResult) -> Sandwich:
  gap = estimate_mean(upper.log_marginal - lower.log_marginal)
  return Sandwich(_estimate(lower), _estimate(upper), gap)


def _estimate(results: AisResult) -> AisEstimate:
  return AisEstimate(*estimate_mean(results.log_marginal), results)
