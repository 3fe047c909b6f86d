"""The best checkpoint beside the last one, where their ELBOs differ."""

import jax
import numpy as np

from vae_jax.evaluate import (
  Estimate,
  curve_points,
  estimate_mean,
  evaluation_keys,
)
from vae_jax.io import logger
from vae_jax.io.checkpoint import CheckpointError
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.report.metrics import Evaluators, Metrics
from vae_jax.types import Params


def measure_best(
  folder: RunFolder,
  evaluators: Evaluators,
  params: Params,
  step: int,
  x: np.ndarray,
  metrics: Metrics,
) -> Metrics:
  """Measures the checkpoint of the highest validation ELBO.

  Args:
    folder: folder of the run.
    evaluators: measurements of its model, compiled for the last step.
    params: parameters of the last step, for their structure.
    step: the last step.
    x: preprocessed examples, `[N, ...]`.
    metrics: metrics of the last step, from `measure`.

  Returns:
    `best_epoch`, `best_elbo` and `best_nll`; {} without such a checkpoint, or
    if its ELBO is within a standard error of the ELBO at the last step.
  """
  target = jax.eval_shape(lambda: params)
  try:
    best_step, best = folder.restore_params(target, 'best')
    epoch = folder.epoch_of(best_step, 'best')
  except CheckpointError:
    return {}
  if best_step == step:
    return {}
  keys, last = evaluation_keys(), metrics['elbo']
  elbo = estimate_mean(evaluators.elbo(keys.elbo, best, jax.device_put(x)).elbo)
  # The standard error of a single example is nan.
  if not abs(elbo.mean - last.mean) > last.standard_error:
    return {}
  # At smaller K too, so that the program is that of the last step.
  count = metrics['nll_num_samples']
  nll = evaluators.nll_curve(
    keys.nll,
    best,
    x,
    num_samples=curve_points(count),
    progress=lambda chunks: logger.track('NLL, best checkpoint', chunks),
  ).at[count]
  return {
    'best_epoch': epoch,
    'best_elbo': elbo,
    'best_nll': Estimate(nll.mean, nll.standard_error),
  }


def note(metrics: Metrics, epoch: int) -> str:
  """Returns a sentence on the best checkpoint, '' if it does not differ."""
  if 'best_epoch' not in metrics:
    return ''
  return (
    f'The best checkpoint (epoch {metrics["best_epoch"]}, by validation ELBO) '
    f'differs from the last (epoch {epoch}) by more than a standard error: '
    f'ELBO {metrics["best_elbo"].mean:.3f} against {metrics["elbo"].mean:.3f} '
    f'nats, NLL {metrics["best_nll"].mean:.3f} against '
    f'{metrics["nll"].mean:.3f}. Evaluate it with --checkpoint=best'
  )
