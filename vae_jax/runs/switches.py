"""Measurements of the switches of `evaluate`: dead units, gaps, annealing."""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np

from vae_jax.ais import estimate_ais, estimate_sandwich
from vae_jax.evaluate import (
  Calibration,
  Estimate,
  calibration,
  count_examples,
  describe_model,
  estimate_nll,
  evaluation_keys,
  measure_gaps,
  measure_weights,
  take,
  without_units,
)
from vae_jax.io import logger
from vae_jax.runs.config import EvaluateConfig
from vae_jax.runs.report.metrics import Metrics
from vae_jax.runs.report.trained_run import More, TestLatents, TrainedRun

# Probability that a unit is rejected though its ranks are uniform.
_FALSE_ALARM = 0.01
# Examples whose importance weights are examined.
_WEIGHED = 1000

Progress = Callable[[Iterable[int]], Iterable[int]]


def measure_more(
  options: EvaluateConfig, run: TrainedRun, latents: TestLatents
) -> More:
  """Measures what --dead_units, --gaps, --sandwich, --calibration ask for."""
  metrics: Metrics = {}
  if options.dead_units:
    metrics |= _without_dead_units(options, run, latents)
  if options.gaps:
    metrics |= _gaps(options, run)
  if options.sandwich:
    metrics |= _sandwich(options, run)
  if not options.calibration:
    return More(metrics, {})
  ranks = _calibration(options, run)
  of_weights, per_example = _weights(options, run)
  metrics |= _of_ranks(ranks) | of_weights
  per_example |= {'calibration_ranks': ranks.ranks}
  return More(metrics, per_example, ranks)


def _without_dead_units(
  options: EvaluateConfig, run: TrainedRun, latents: TestLatents
) -> Metrics:
  """Estimates the NLL of the model without its inactive latent units."""
  active, means = latents.latents.active, latents.latents.means
  fixed = means.mean(axis=0)
  is_discrete = lambda inference: inference.posterior.is_discrete
  if describe_model(is_discrete, run.model, run.params, run.x):
    # The decoder never had a z between the values 0 and 1.
    fixed = np.round(fixed)
  nll = estimate_nll(
    evaluation_keys().nll,
    without_units(run.model, active, fixed),
    run.params,
    run.x,
    num_samples=options.num_samples,
    progress=_track('NLL without inactive units'),
    mesh=run.mesh,
  )
  return {'nll_without_dead_units': Estimate(nll.mean, nll.standard_error)}


def _gaps(options: EvaluateConfig, run: TrainedRun) -> Metrics:
  """Estimates the approximation and amortisation gaps."""
  some = take(run.x, slice(options.num_gap_examples))
  gaps = measure_gaps(
    evaluation_keys().gaps,
    run.model,
    run.params,
    some,
    progress=_track('gaps'),
    mesh=run.mesh,
  )
  return {'gap_examples': count_examples(some)} | {
    f'gap_{name}': value for name, value in gaps._asdict().items()
  }


def _sandwich(options: EvaluateConfig, run: TrainedRun) -> Metrics:
  """Bounds log p(x) by annealing: both sides on simulated data, one on x."""
  count = min(options.num_sandwich_examples, count_examples(run.x))
  some = take(run.x, slice(count))
  annealing: dict[str, Any] = {
    'num_chains': options.num_chains,
    'num_temperatures': options.num_temperatures,
    'mesh': run.mesh,
  }
  key = evaluation_keys().sandwich
  ais_key, both_key = (jax.random.fold_in(key, i) for i in range(2))
  both = estimate_sandwich(
    both_key,
    run.model,
    run.params,
    some,
    num_examples=count,
    progress=_track('annealing of simulated data'),
    **annealing,
  )
  real = estimate_ais(
    ais_key,
    run.model,
    run.params,
    some,
    progress=_track('annealing'),
    **annealing,
  )
  rate = lambda found: float(np.mean(found.per_example.acceptance_rate))
  return {
    'sandwich_examples': count,
    'sandwich_lower': Estimate(both.lower.mean, both.lower.standard_error),
    'sandwich_upper': Estimate(both.upper.mean, both.upper.standard_error),
    'sandwich_gap': both.gap,
    'sandwich_lower_acceptance_rate': rate(both.lower),
    'sandwich_upper_acceptance_rate': rate(both.upper),
    'ais': Estimate(real.mean, real.standard_error),
    'ais_acceptance_rate': rate(real),
  }


def _calibration(options: EvaluateConfig, run: TrainedRun) -> Calibration:
  """Ranks simulated z among samples of q(z|x)."""
  return calibration(
    evaluation_keys().calibration,
    run.model,
    run.params,
    run.x,
    num_simulations=options.num_simulations,
    progress=_track('calibration'),
    mesh=run.mesh,
  )


def _of_ranks(found: Calibration) -> Metrics:
  return {
    'calibration_simulations': len(found.ranks),
    'calibration_p_value': found.p_value,
    'calibration_rejected': int(np.sum(found.p_values < _FALSE_ALARM)),
    'calibration_spread': float(np.mean(found.spread)),
    'calibration_power': found.power(0.8, false_alarm_rate=_FALSE_ALARM),
  }


def _weights(
  options: EvaluateConfig, run: TrainedRun
) -> tuple[Metrics, dict[str, np.ndarray]]:
  """Fits the tail of the importance weights of the first examples."""
  some = take(run.x, slice(_WEIGHED))
  weights = measure_weights(
    evaluation_keys().nll,
    run.model,
    run.params,
    some,
    num_samples=options.num_samples,
    progress=_track('importance weights'),
    mesh=run.mesh,
  )
  metrics = {
    'weights_examples': count_examples(some),
    'weights_nll': weights.nll,
    'weights_smoothed_nll': weights.smoothed_nll,
    'weights_reliable': weights.reliable(),
    'weights_pareto_k': float(np.median(weights.pareto_k)),
  }
  return metrics, {'pareto_k': np.asarray(weights.pareto_k)}


def _track(description: str) -> Progress:
  return lambda chunks: logger.track(description, chunks)
