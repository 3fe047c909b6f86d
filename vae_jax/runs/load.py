"""A trained run in Python: `load_run`, then encode, reconstruct and sample."""

import os
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax import data
from vae_jax.distributions import Distribution, sample
from vae_jax.distributions.shared import share_weights
from vae_jax.models import LIKELIHOODS, LatentModel, SizeFactorVAE
from vae_jax.models.supports import COUNTS
from vae_jax.runs import splits
from vae_jax.runs.config import Config
from vae_jax.runs.examples import join
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.reported import (
  CHECKPOINTS,
  PARAMETERS,
)
from vae_jax.runs.restore import report_metrics, restore_model
from vae_jax.runs.seeds import in_words, metrics_of_seed, seeds_of
from vae_jax.runs.standardise import Statistics
from vae_jax.training.seeds import take_one
from vae_jax.types import Array, Example, Key, Params


class _Run(NamedTuple):
  config: Config
  model: LatentModel
  params: Params
  metrics: dict[str, Any] | None


class LoadedRun(_Run):
  """A trained run, `config, model, params, metrics = load_run(...)`.

  The methods take a batch x, `[N, *data_shape]`: images as stored, uint8 from
  0 to 255, before `--image_shape`, `--resize` and `--invert`, which are
  preprocessed with the fixed key of every evaluation; counts of any integer
  dtype, if the likelihood is one of counts; or floating-point numbers as the
  likelihood takes them, but before `--standardise`.

  Attributes:
    config: options of the run.
    model: its model.
    params: its parameters; of many seeds stacked, `[S, ...]`, and `of_seed`
      returns the run of one.
    metrics: test metrics of the report of the run, from metrics.jsonl; None
      before the last epoch has one.
    data_shape: shape of one x.
    statistics: mean and scale of a run with `--standardise`, whose
      reconstructions and samples are standardised, too:
      `statistics.undo(run.sample(...))`; None for others.
    condition: classes or covariates of the training data; None without them.
      The methods then also take y, as the data set has it: labels `[N]`, or
      covariates `[N, D]`.
  """

  data_shape: tuple[int, ...] = ()
  statistics: Statistics | None = None
  condition: data.Condition | None = None

  def _replace(self, **fields: Any) -> 'LoadedRun':
    run = super()._replace(**fields)
    run.data_shape, run.statistics = self.data_shape, self.statistics
    run.condition = self.condition
    return run

  def preprocess(self, x: Any) -> Array:
    """Returns a batch as the likelihood takes it, `[N, *data_shape]`.

    Raises:
      ValueError: x has another shape, or is neither uint8 nor floating-point.
    """
    x = np.asarray(x)
    if x.dtype == np.uint8:
      x = data.transform_batch(x, splits.transform_of(self.config))
    if x.ndim != 1 + len(self.data_shape) or x.shape[1:] != self.data_shape:
      sizes = ', '.join(map(str, self.data_shape))
      raise ValueError(
        f'x: got shape {x.shape}, expected (N, {sizes}). Give a batch of '
        'whole examples, such as x[None] for one'
      )
    of_counts = LIKELIHOODS[self.config.model.likelihood].support == COUNTS
    if of_counts and x.dtype.kind in 'iu':
      return jnp.asarray(x, float)
    if jnp.issubdtype(x.dtype, jnp.floating):
      if self.statistics is not None:
        x = self.statistics.apply(x)
      return jnp.asarray(x, float)
    if x.dtype != np.uint8 or np.max(x, initial=0) == 1:
      got = 'zeros and ones' if x.dtype == np.uint8 else 'numbers'
      raise ValueError(
        f'x: got {got} of dtype {x.dtype}, expected pixels from 0 to 255 in '
        'uint8, or floating-point numbers. Use x.astype(float)'
      )
    return jnp.asarray(splits.preprocess(self.config, x), float)

  def of_seed(self, number: int) -> 'LoadedRun':
    """Returns the model of one seed of a run of many, as a run of its own.

    Args:
      number: the seed, from `--seed` on.

    Raises:
      ValueError: the run has no such seed.
    """
    numbers = seeds_of(self.config)
    if number not in numbers:
      raise ValueError(
        f'number: got {number}, expected a seed of the run, from {numbers[0]} '
        f'to {numbers[-1]}'
      )
    if len(numbers) == 1:
      return self
    return self._replace(
      config=self.config.replace(seed=number, num_seeds=1),
      params=take_one(self.params, numbers.index(number)),
      metrics=self.metrics and metrics_of_seed(self.metrics, number),
    )

  def _check_one_seed(self) -> None:
    numbers = seeds_of(self.config)
    if len(numbers) > 1:
      raise ValueError(
        f'params: got those of {in_words(numbers)}, expected one model. Use '
        f'run.of_seed({numbers[0]})'
      )

  def encode(self, x: Any, y: Any = None, mask: Any = None) -> Distribution:
    """Returns q(z|x), or q(z|x, y), of a batch.

    Returns:
      A distribution whose parameters have a leading axis `[N]`: `.mean()` is
      `[N, Z]`, and `jax.vmap` applies any method to each example. The weights
      of a flow, or of the conditionals of several layers, are shared.
    """
    self._check_one_seed()
    found = self.examples(x, y, mask)

    def one(example: Example) -> Distribution:
      return share_weights(self.model.condition(self.params, example).posterior)

    return jax.vmap(one)(found)

  def reconstruct(
    self, key: Key, x: Any, y: Any = None, mask: Any = None
  ) -> Array:
    """Returns E[x'|z], `[N, *data_shape]`, for one z ~ q(z|x) per example."""
    self._check_one_seed()
    found = self.examples(x, y, mask)

    def one(key: Key, example: Example) -> Array:
      inference = self.model.condition(self.params, example)
      return inference.likelihood(sample(key, inference.posterior)).mean()

    return jax.vmap(one)(jax.random.split(key, len(x)), found)

  def sample(
    self,
    key: Key,
    num_samples: int,
    y: Any = None,
    *,
    size: float | None = None,
  ) -> Array:
    """Returns E[x|z], `[num_samples, *data_shape]`, for z ~ p(z).

    Args:
      key: consumed.
      num_samples: number of samples of z.
      y: condition of each sample, or one for all; equal keys give equal z
        under every condition, unless p(z|y) is learned.
      size: size factor of every sample, for a model with one.

    Raises:
      ValueError: a model of many seeds, no size for a model with a size
        factor, or a size for a model without.
    """
    self._check_one_seed()
    if isinstance(self.model, SizeFactorVAE) != (size is not None):
      raise ValueError(
        f'size: got {size} with --size_factor='
        f'{self.config.model.size_factor}, expected a number only for a model '
        'with a size factor, such as the mean total of the examples'
      )
    # The prior of a model over x alone does not depend on the example.
    x = jnp.zeros((num_samples, *self.data_shape))
    mask = jnp.zeros(x.shape, bool) if self._is_masked else None
    found = join(self.condition, x, y, mask, one_for_all=True)
    if size is not None:
      sizes = jnp.full(num_samples, size, float)
      found = {'x': found, 'size': sizes}

    def one(key: Key, example: Example) -> Array:
      inference = self.model.condition(self.params, example)
      return inference.likelihood(sample(key, inference.prior)).mean()

    return jax.vmap(one)(jax.random.split(key, num_samples), found)

  def examples(self, x: Any, y: Any = None, mask: Any = None) -> Any:
    """Returns a batch as `model.condition` takes its examples.

    Args:
      x: as for the other methods; nan is missing in a run of missing data.
      y: conditions, in a run with conditions.
      mask: which numbers are observed, of the shape of x; None for all.

    Raises:
      ValueError: missing data or a mask in a run without, y is missing or not
        expected, or another shape.
    """
    x = np.asarray(x)
    missing = np.isnan(x) if x.dtype.kind == 'f' else np.zeros(x.shape, bool)
    if not self._is_masked:
      if mask is not None or missing.any():
        raise ValueError(
          'x: got missing data, expected none: the run has --missing=refuse'
        )
      return join(self.condition, self.preprocess(x), y)
    known = np.asarray(True if mask is None else mask, bool)
    if mask is not None and known.shape != x.shape:
      raise ValueError(f'mask: got shape {known.shape}, expected {x.shape}')
    whole = self.preprocess(np.where(missing, x.dtype.type(0), x))
    seen = (known & ~missing).reshape(whole.shape)  # As --image_shape does.
    return join(self.condition, whole, y, seen)

  @property
  def _is_masked(self) -> bool:
    return self.config.data.missing == 'mask'


def load_run(
  workdir: str | os.PathLike[str],
  *,
  checkpoint: str = 'auto',
  parameters: str = 'auto',
  data_dir: str = '',
  model: LatentModel | None = None,
) -> LoadedRun:
  """Loads a trained run from its folder.

  Args:
    workdir: folder of the run.
    checkpoint: 'latest', or 'best' for the highest validation ELBO; 'auto'
      for that of the report: 'best' in a run with `--patience`.
    parameters: 'raw', or 'ema' for their moving average; 'auto' for those of
      the report: 'ema' in a run with `--ema`.
    data_dir: present TFDS directory; '' for the recorded one.
    model: the model, where the run was trained with one from Python.

  Returns:
    `LoadedRun(config, model, params, metrics)`.

  Raises:
    UserError: no run in the folder, no good checkpoint, or no `model`.
    ValueError: an unknown `checkpoint` or `parameters`.
  """
  for name, value, choices in (
    ('checkpoint', checkpoint, CHECKPOINTS),
    ('parameters', parameters, PARAMETERS),
  ):
    if value not in choices:
      expected = ' or '.join(map(repr, choices))
      raise ValueError(f'{name}: got {value!r}, expected {expected}')
  folder = RunFolder.find(os.fspath(workdir) or '.')
  record = folder.read_record(data_dir=data_dir)
  options = record.config.data
  shape = record.data_shape
  if shape is None:
    test = data.load_test(options.dataset, data_dir=options.data_dir, beside=())
    shape = test.x.shape[1:]
  found = restore_model(
    folder,
    record,
    shape,
    checkpoint=checkpoint,
    parameters=parameters,
    model=model,
  )
  metrics = report_metrics(folder, record.config)
  run = LoadedRun(record.config, found.model, found.params, metrics)
  run.data_shape, run.statistics = shape, record.statistics
  run.condition = record.condition
  return run
