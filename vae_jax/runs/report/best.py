"""The best checkpoint beside the last one, where their ELBOs differ."""

from collections.abc import Sequence
from typing import Any, NamedTuple

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
from vae_jax.training import seeds
from vae_jax.training.average import Average
from vae_jax.types import Params


class Best(NamedTuple):
  """The checkpoint of the highest validation ELBO.

  Attributes:
    epoch: epochs completed by then.
    params: its parameters, with a leading axis `[S]` in a run of many seeds.
  """

  epoch: int
  params: Params


def restore_best(
  folder: RunFolder, params: Params, step: int, average: Average | None = None
) -> Best | None:
  """Restores the best checkpoint; None if it is missing, or the last step.

  Args:
    folder: folder of the run.
    params: parameters of the last step, for their structure.
    step: the last step.
    average: shapes of their moving average, if that is restored.
  """
  target = jax.eval_shape(lambda: params)
  try:
    best_step, params = folder.restore_params(target, 'best', average=average)
    epoch = folder.epoch_of(best_step, 'best')
  except CheckpointError:
    return None
  return None if best_step == step else Best(epoch, params)


def measure_elbo(evaluators: Evaluators, params: Params, x: Any) -> Estimate:
  """Estimates the ELBO with the noise of `measure`."""
  keys = evaluation_keys()
  return estimate_mean(
    evaluators.elbo(keys.elbo, params, jax.device_put(x)).elbo
  )


def measure_nll(
  evaluators: Evaluators, params: Params, x: Any, num_samples: int
) -> Estimate:
  """Estimates the NLL with the noise of `measure`."""
  # At smaller K too, so that the program is that of the last step.
  nll = evaluators.nll_curve(
    evaluation_keys().nll,
    params,
    x,
    num_samples=curve_points(num_samples),
    progress=lambda chunks: logger.track('NLL, best checkpoint', chunks),
  ).at[num_samples]
  return Estimate(nll.mean, nll.standard_error)


def measure_best(
  folder: RunFolder,
  evaluators: Evaluators,
  params: Params,
  step: int,
  x: Any,
  metrics: Metrics,
  average: Average | None = None,
) -> Metrics:
  """Measures the checkpoint of the highest validation ELBO.

  Args:
    folder: folder of the run.
    evaluators: measurements of its model, compiled for the last step.
    params: parameters of the last step, for their structure.
    step: the last step.
    x: preprocessed examples, `[N, ...]`.
    metrics: metrics of the last step, from `measure`.
    average: as for `restore_best`.

  Returns:
    `best_epoch`, `best_elbo` and `best_nll`; {} without such a checkpoint, or
    if its ELBO is within a standard error of the ELBO at the last step.
  """
  found, last = restore_best(folder, params, step, average), metrics['elbo']
  if found is None:
    return {}
  elbo = measure_elbo(evaluators, found.params, x)
  # The standard error of a single example is nan.
  if not abs(elbo.mean - last.mean) > last.standard_error:
    return {}
  nll = measure_nll(evaluators, found.params, x, metrics['nll_num_samples'])
  return {'best_epoch': found.epoch, 'best_elbo': elbo, 'best_nll': nll}


def measure_best_of_seeds(
  folder: RunFolder,
  evaluators: Evaluators,
  params: Params,
  step: int,
  x: Any,
  each: Sequence[Metrics],
  average: Average | None = None,
) -> list[Metrics]:
  """Measures the best checkpoint of many seeds, which is one step of all.

  Args:
    folder: folder of the run.
    evaluators: measurements of its model, compiled for the last step.
    params: stacked parameters of the last step.
    step: the last step.
    x: preprocessed examples, `[N, ...]`.
    each: metrics of the last step of each seed, from `measure`.
    average: as for `restore_best`.

  Returns:
    As `measure_best`, for each seed; {} for all if the difference of their
    ELBOs, averaged over the seeds, is within its standard error.
  """
  found, count = restore_best(folder, params, step, average), len(each)
  if found is None:
    return [{}] * count
  models = [seeds.take_one(found.params, i) for i in range(count)]
  elbos = [measure_elbo(evaluators, one, x) for one in models]
  difference = estimate_mean(
    np.array(
      [a.mean - m['elbo'].mean for a, m in zip(elbos, each, strict=True)]
    )
  )
  if not abs(difference.mean) > difference.standard_error:
    return [{}] * count
  num_samples = each[0]['nll_num_samples']
  return [
    {
      'best_epoch': found.epoch,
      'best_elbo': elbo,
      'best_nll': measure_nll(evaluators, one, x, num_samples),
    }
    for one, elbo in zip(models, elbos, strict=True)
  ]


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
