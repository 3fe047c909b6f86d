"""A trained run in Python: `load_run`, then encode, reconstruct and sample."""

import os
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax import data
from vae_jax.distributions import Distribution, sample
from vae_jax.models import LIKELIHOODS, LatentModel, SizeFactorVAE
from vae_jax.models.inference import Inference
from vae_jax.models.supports import COUNTS
from vae_jax.runs import splits
from vae_jax.runs.config import Config
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.reported import (
  CHECKPOINTS,
  PARAMETERS,
  resolve_checkpoint,
)
from vae_jax.runs.restore import restore_model
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
  """

  data_shape: tuple[int, ...] = ()
  statistics: Statistics | None = None

  def _replace(self, **fields: Any) -> 'LoadedRun':
    run = super()._replace(**fields)
    run.data_shape, run.statistics = self.data_shape, self.statistics
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

  def encode(self, x: Any) -> Distribution:
    """Returns q(z|x) of a batch.

    Returns:
      A distribution whose parameters have a leading axis `[N]`: `.mean()` is
      `[N, Z]`, and `jax.vmap` applies any method to each example.
    """
    self._check_one_seed()
    return self._infer(self.preprocess(x)).posterior

  def reconstruct(self, key: Key, x: Any) -> Array:
    """Returns E[x'|z], `[N, *data_shape]`, for one z ~ q(z|x) per example."""
    self._check_one_seed()
    x = self.preprocess(x)

    def one(key: Key, x: Array) -> Array:
      inference = self.model.condition(self.params, x)
      return inference.likelihood(sample(key, inference.posterior)).mean()

    return jax.vmap(one)(jax.random.split(key, len(x)), x)

  def sample(
    self, key: Key, num_samples: int, *, size: float | None = None
  ) -> Array:
    """Returns E[x|z], `[num_samples, *data_shape]`, for z ~ p(z).

    Args:
      key: consumed.
      num_samples: number of samples of z.
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

    def one(key: Key) -> Array:
      # The prior of a model over x alone does not depend on the example.
      example: Example = jnp.zeros(self.data_shape)
      if size is not None:
        example = {'x': example, 'size': jnp.asarray(size, float)}
      inference = self.model.condition(self.params, example)
      return inference.likelihood(sample(key, inference.prior)).mean()

    return jax.vmap(one)(jax.random.split(key, num_samples))

  def _infer(self, x: Array) -> Any:
    def one(x: Array) -> Inference:
      inference = self.model.condition(self.params, x)
      # A function is not an array that vmap could return.
      return inference._replace(likelihood=None)  # type: ignore[arg-type]

    return jax.vmap(one)(x)


def _report_metrics(folder: RunFolder, config: Config) -> dict[str, Any] | None:
  """Returns the test metrics of the report; None if it has not been made.

  A longer training may have no report yet, or want none.
  """
  records = folder.log.read()
  if resolve_checkpoint(config) == 'best':
    last = folder.best_step()
  else:
    last = max((line['step'] for line in records), default=0)
  tests = [x for x in records if x['split'] == 'test' and x['step'] == last]
  return tests[-1] if tests else None


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
    test = data.load_test(options.dataset, data_dir=options.data_dir)
    shape = test.x.shape[1:]
  found = restore_model(
    folder,
    record,
    shape,
    checkpoint=checkpoint,
    parameters=parameters,
    model=model,
  )
  metrics = _report_metrics(folder, record.config)
  run = LoadedRun(record.config, found.model, found.params, metrics)
  run.data_shape, run.statistics = shape, record.statistics
  return run
