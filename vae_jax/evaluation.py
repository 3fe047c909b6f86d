"""The command `evaluate`: what a trained run is worth, measured again."""

import pathlib
from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np

from vae_jax import (
  checkpoint,
  devices,
  lock,
  logger,
  outcome,
  report,
  workdir,
)
from vae_jax.ais import estimate_ais, estimate_sandwich
from vae_jax.config import Config, EvaluateConfig
from vae_jax.data import Split
from vae_jax.errors import UserError
from vae_jax.evaluate import (
  Latents,
  estimate_nll,
  evaluation_keys,
  measure_gaps,
  without_units,
)
from vae_jax.model import VAE, make_vae
from vae_jax.types import Params

Rows = list[tuple[str, str]]
Progress = Callable[[Iterable[int]], Iterable[int]]


def evaluate_run(options: EvaluateConfig) -> dict[str, Any]:
  """Measures a trained run on a split; prints, logs and draws.

  Returns:
    The numbers, as metrics.jsonl has them.

  Raises:
    UserError: no run in the folder, no good checkpoint, no data.
  """
  device = devices.select(options.platform)
  folder = workdir.find(options.workdir)
  config = workdir.read_config(folder, data_dir=options.data_dir)
  with lock.claim(folder):
    return _evaluate(options, folder, config, device)


def _evaluate(
  options: EvaluateConfig, folder: pathlib.Path, config: Config, device: str
) -> dict[str, Any]:
  split, prepared = _some(
    *report.load_split(config, options.split), options.num_examples
  )
  vae = make_vae(config, split.images.shape[1:])
  step, params = checkpoint.restore_latest(
    workdir.find_checkpoints(folder, options.checkpoint),
    jax.eval_shape(vae.init, jax.random.key(0)),
    within='train/params',
  )
  trained = outcome.Trained(folder, config, vae, params, split, prepared)
  metrics = report.measure(vae, params, prepared, options.num_samples)
  metrics |= report.measure_bits(config, split.images, metrics)
  if options.split == 'test' and not options.num_examples:
    metrics |= report.measure_exact(config, vae, params, prepared)
  examined = outcome.examine(trained)
  metrics |= examined.metrics
  rows = report.rows(metrics)
  for more in _more(options, vae, params, prepared, examined.latents):
    metrics |= more
    rows += _rows(more)
  log = logger.MetricsLogger(folder / workdir.METRICS)
  epoch = max((r['epoch'] for r in log.read() if r['step'] <= step), default=0)
  log.write_once(step, epoch, options.split, metrics)
  title = (
    f'{folder} at step {step} (epoch {epoch}), {len(prepared)} '
    f'{options.split} examples of {config.dataset}, on {device}'
  )
  outcome.present(trained, examined, report.nll_curve(metrics), title, rows)
  return metrics


def _some(
  split: Split, prepared: np.ndarray, count: int
) -> tuple[Split, np.ndarray]:
  """Returns the first `count` examples, or all of them for 0."""
  count = count or len(prepared)
  if count > len(prepared):
    raise UserError(
      f'--num_examples={count}: the split has {len(prepared)} examples'
    )
  labels = None if split.labels is None else split.labels[:count]
  return Split(split.images[:count], labels), prepared[:count]


def _more(
  options: EvaluateConfig,
  vae: VAE,
  params: Params,
  examples: np.ndarray,
  latents: Latents,
) -> Iterable[dict[str, Any]]:
  """Yields what the switches ask for, metrics by name."""
  if options.dead_units:
    yield _without_dead(options, vae, params, examples, latents)
  if options.gaps:
    yield _gaps(options, vae, params, examples)
  if options.sandwich:
    yield _sandwich(options, vae, params, examples)


def _without_dead(
  options: EvaluateConfig,
  vae: VAE,
  params: Params,
  examples: np.ndarray,
  latents: Latents,
) -> dict[str, Any]:
  """Returns the NLL of the model that has no dead units."""
  smaller = without_units(vae, latents.active, latents.means.mean(axis=0))
  nll = estimate_nll(
    evaluation_keys().nll,
    smaller,
    params,
    examples,
    num_samples=options.num_samples,
    progress=_track('NLL without dead units'),
  )
  return {
    'nll_without_dead_units': nll.mean,
    'nll_without_dead_units_standard_error': nll.standard_error,
  }


def _gaps(
  options: EvaluateConfig, vae: VAE, params: Params, examples: np.ndarray
) -> dict[str, Any]:
  """Returns the gap of the family and that of the encoder."""
  some = examples[: options.num_gap_examples]
  gaps = measure_gaps(
    evaluation_keys().gaps, vae, params, some, progress=_track('gaps')
  )
  metrics: dict[str, Any] = {'gap_examples': len(some)}
  for name, (mean, error) in gaps._asdict().items():
    metrics |= {f'gap_{name}': mean, f'gap_{name}_standard_error': error}
  return metrics


def _sandwich(
  options: EvaluateConfig, vae: VAE, params: Params, examples: np.ndarray
) -> dict[str, Any]:
  """Returns two bounds of log p(x) on simulated data, and one on this."""
  count = min(options.num_sandwich_examples, len(examples))
  annealing = {
    'num_chains': options.num_chains,
    'num_temperatures': options.num_temperatures,
  }
  key = evaluation_keys().sandwich
  ais_key, both_key = (jax.random.fold_in(key, i) for i in range(2))
  both = estimate_sandwich(
    both_key,
    vae,
    params,
    num_examples=count,
    progress=_track('simulated, both ways'),
    **annealing,
  )
  real = estimate_ais(
    ais_key,
    vae,
    params,
    examples[:count],
    progress=_track('annealing'),
    **annealing,
  )
  rate = lambda found: float(np.mean(found.per_example.acceptance_rate))
  return {
    'sandwich_examples': count,
    'sandwich_lower': both.lower.mean,
    'sandwich_lower_standard_error': both.lower.standard_error,
    'sandwich_upper': both.upper.mean,
    'sandwich_upper_standard_error': both.upper.standard_error,
    'sandwich_gap': both.gap,
    'sandwich_gap_standard_error': both.gap_standard_error,
    'sandwich_lower_acceptance_rate': rate(both.lower),
    'sandwich_upper_acceptance_rate': rate(both.upper),
    'ais': real.mean,
    'ais_standard_error': real.standard_error,
    'ais_acceptance_rate': rate(real),
  }


def _track(description: str) -> Progress:
  return lambda chunks: logger.track(description, chunks)


_WORDS = {
  'nll_without_dead_units': 'NLL without dead units',
  'gap_examples': 'Gaps, examples',
  'gap_log_marginal': 'log p(x), by q*',
  'gap_best_elbo': 'L[q*], the best q',
  'gap_elbo': "L[q], the encoder's",
  'gap_approximation': 'log p(x) - L[q*]',
  'gap_amortisation': 'L[q*] - L[q]',
  'sandwich_examples': 'Annealing, examples',
  'sandwich_upper': 'log p(x) <=, simulated',
  'sandwich_lower': 'log p(x) >=, simulated',
  'sandwich_gap': 'the gap between',
  'sandwich_upper_acceptance_rate': 'accepted, from above',
  'sandwich_lower_acceptance_rate': 'accepted, from below',
  'ais': 'log p(x) >=, this split',
  'ais_acceptance_rate': 'accepted, this split',
}


def _rows(metrics: dict[str, Any]) -> Rows:
  """Returns the rows of the table that these numbers fill."""
  rows = []
  for name, words in _WORDS.items():
    if name not in metrics:
      continue
    value, error = metrics[name], metrics.get(f'{name}_standard_error')
    if error is not None:
      rows.append((words, report.nats(value, error)))
    elif isinstance(value, int):
      rows.append((words, f'{value:6d}'))
    else:
      rows.append((words, f'{value:10.3f}'))
  return rows
