"""The best checkpoint beside the last one, where their ELBOs differ."""

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.evaluate import (
  Estimate,
  estimate_mean,
  estimate_nll,
  evaluation_keys,
  make_evaluate_elbo,
)
from vae_jax.io import logger
from vae_jax.io.checkpoint import CheckpointError
from vae_jax.models import LatentModel
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.report.metrics import Metrics
from vae_jax.types import Params


def measure_best(
  folder: RunFolder,
  model: LatentModel,
  params: Params,
  step: int,
  x: np.ndarray,
  metrics: Metrics,
) -> Metrics:
  """Measures the checkpoint of the highest validation ELBO.

  Args:
    folder: folder of the run.
    model: its model.
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
  terms = make_evaluate_elbo(model)(keys.elbo, best, jnp.asarray(x))
  elbo = estimate_mean(terms.elbo)
  # The standard error of a single example is nan.
  if not abs(elbo.mean - last.mean) > last.standard_error:
    return {}
  nll = estimate_nll(
    keys.nll,
    model,
    best,
    x,
    num_samples=metrics['nll_num_samples'],
    progress=lambda chunks: logger.track('NLL, best checkpoint', chunks),
  )
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
