"""A trained run and its measurements on one split."""

import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from vae_jax import data
from vae_jax.data import Rows
from vae_jax.evaluate import (
  Calibration,
  Latents,
  count_examples,
  estimate_mean,
  evaluation_keys,
  make_evaluate_classification,
  measure_latents,
  take,
)
from vae_jax.models import LatentModel
from vae_jax.models.semi_supervised import SemiSupervisedVAE
from vae_jax.runs.config import Config
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.record import Record
from vae_jax.runs.report.exact import measure_exact
from vae_jax.runs.report.metrics import (
  Evaluators,
  Metrics,
  make_evaluators,
  measure,
  measure_bits,
)
from vae_jax.training.average import Average, average_of
from vae_jax.types import Params

# All pairs of examples are compared, which takes about a second for these.
_MAX_EXAMPLES = 2000
# Folder of the evaluations of a run.
EVALUATIONS = 'evaluations'


class TrainedRun(NamedTuple):
  """A trained model and the split on which it is measured.

  Attributes:
    folder: folder of the run.
    record: options of the run.
    model: the model.
    params: its parameters.
    step: gradient steps after which they were saved.
    epoch: epochs after which they were saved.
    split: name of the split.
    stored: the split as stored, with labels.
    x: the examples preprocessed for the likelihood, `[N, ...]`; with their
      conditions `{'x': ..., 'y': ...}`.
    parameters: 'raw', or 'ema' for their moving average.
    is_whole: whether all examples of the split are there.
    evaluation: name of the evaluation, whose files are in a folder of their
      own; '' for the report of the run.
    draws_figures: whether the report has figures.
    mesh: devices over which examples are sharded; None for one.
    writes: whether this process writes the report, and does not only take part
      in what `mesh` shares.
  """

  folder: RunFolder
  record: Record
  model: LatentModel
  params: Params
  step: int
  epoch: int
  split: str
  stored: Rows
  x: Any
  parameters: str = 'raw'
  is_whole: bool = True
  evaluation: str = ''
  draws_figures: bool = True
  mesh: Mesh | None = None
  writes: bool = True

  @property
  def config(self) -> Config:
    """Options of the run."""
    return self.record.config

  @property
  def average(self) -> Average | None:
    """Shapes of the moving average that `params` are; None if they are not."""
    if self.parameters == 'raw':
      return None
    return average_of(self.params, self.config.run.num_seeds)

  @property
  def given(self) -> str:
    """Words behind NLL, such as ' of x given y' with a condition; or ''."""
    options = self.config.data
    is_masked = options.missing == 'mask'
    x = 'observed x' if is_masked else 'x'
    if options.condition != 'none':
      return f' of {x} given y'
    return f' of {x}' if is_masked else ''

  @property
  def place(self) -> pathlib.Path:
    """Folder of the report."""
    if not self.evaluation:
      return self.folder.path
    return self.folder.path / EVALUATIONS / self.evaluation


class TestLatents(NamedTuple):
  """Statistics of the latents of some examples, and their labels.

  Attributes:
    latents: statistics of N examples.
    labels: `[N]`; None where the data set has none.
    calibration: ranks of simulated z; None where they are not asked for.
  """

  latents: Latents
  labels: np.ndarray | None
  calibration: Calibration | None = None

  @property
  def metrics(self) -> Metrics:
    """Number of active units, and of all; {} for a single example.

    Of several layers also by layer, with the KL of each: `kl_z1` and so on.
    """
    if len(self.latents.means) < 2:
      return {}
    active = self.latents.active_units
    metrics: Metrics = {
      'active_units': int(active.sum()),
      'latent_units': len(active),
    }
    for name in self.latents.layers:
      own = self.latents.layer(name)
      metrics |= {
        f'active_units_{name}': int(own.active_units.sum()),
        f'latent_units_{name}': len(own.active_units),
        f'kl_{name}': float(np.sum(own.kl.mean)),
      }
    return metrics


class More(NamedTuple):
  """Measurements that only an evaluation takes, each where it is asked for.

  Attributes:
    metrics: nested metrics.
    per_example: numbers by example, `[N]`.
    calibration: ranks of simulated z.
  """

  metrics: Metrics
  per_example: dict[str, np.ndarray]
  calibration: Calibration | None = None


# (run, latents) -> more measurements
MeasureMore = Callable[[TrainedRun, TestLatents], More]


class Measured(NamedTuple):
  """Numbers of a trained run: nested metrics, per example, of the latents."""

  metrics: Metrics
  per_example: dict[str, np.ndarray]
  latents: TestLatents


def own(run: TrainedRun, evaluators: Evaluators) -> Evaluators:
  """Returns measurements that this process takes without the others.

  Args:
    run: what is measured.
    evaluators: measurements that `run.mesh` shares.
  """
  return evaluators if run.mesh is None else make_evaluators(run.model)


def measure_run(
  run: TrainedRun,
  evaluators: Evaluators,
  num_samples: int,
  measure_more: MeasureMore,
) -> Measured:
  """Measures the parameters of one checkpoint."""
  metrics, per_example = measure(evaluators, run.params, run.x, num_samples)
  metrics |= measure_bits(run.config, run.stored.x, metrics['nll'])
  is_test = run.split == 'test' and run.is_whole
  if is_test and not run.record.custom_model:
    metrics |= measure_exact(
      run.config,
      run.model,
      run.params,
      run.x,
      per_example['elbo'],
      run.record.statistics,
    )
  if isinstance(run.model, SemiSupervisedVAE):
    found = _classify(run)
    metrics |= {name: estimate_mean(x) for name, x in found.items()}
    per_example |= found
  latents = measure_test_latents(run)
  metrics |= latents.metrics
  more = measure_more(run, latents)
  return Measured(
    metrics | more.metrics,
    per_example | more.per_example,
    latents._replace(calibration=more.calibration),
  )


def _classify(run: TrainedRun) -> dict[str, np.ndarray]:
  """Returns error and bound without the label of each example, `[N]`."""
  assert isinstance(run.model, SemiSupervisedVAE)
  evaluate = make_evaluate_classification(run.model)
  found = evaluate(evaluation_keys().elbo, run.params, jax.device_put(run.x))
  return {
    'unlabelled_elbo': np.asarray(found.unlabelled_elbo),
    'classification_error': np.asarray(found.error),
  }


def measured_examples(count: int) -> np.ndarray:
  """Returns indices of the examples whose latents are measured."""
  # Evenly spaced: the split may be sorted by label.
  return np.linspace(0, count - 1, min(count, _MAX_EXAMPLES)).astype(int)


def measure_test_latents(run: TrainedRun) -> TestLatents:
  """Measures the latents of at most 2000 examples from the whole split."""
  some = measured_examples(count_examples(run.x))
  latents = measure_latents(
    evaluation_keys().latents, run.model, run.params, take(run.x, some)
  )
  if run.stored.labels is None:
    return TestLatents(latents, None)
  labels, options = run.stored.labels[some], run.config.data
  names = data.class_names(options.dataset, data_dir=options.data_dir)
  is_index = labels.dtype.kind in 'iu' and np.all(labels >= 0)
  if is_index and np.all(labels < len(names)):
    labels = np.asarray(names)[labels]
  return TestLatents(latents, labels)
