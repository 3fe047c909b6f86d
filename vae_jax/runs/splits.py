"""Splits of a run's data set, as stored and preprocessed."""

from collections.abc import Mapping
from typing import Any, TypedDict

import jax.numpy as jnp
import numpy as np

from vae_jax import data
from vae_jax.errors import UserError
from vae_jax.evaluate import evaluation_keys
from vae_jax.runs import examples, standardise
from vae_jax.runs.config import Config
from vae_jax.runs.missing import filled
from vae_jax.runs.preprocess import make_preprocess
from vae_jax.runs.standardise import Statistics

# Split -> SHA-256 of its examples, None in a folder of an older version.
Digests = Mapping[str, str] | None


class Splits(TypedDict):
  """Splits as stored; the training images may be on disk."""

  train: data.Split
  validation: data.Rows
  test: data.Rows


def preprocess(config: Config, x: np.ndarray) -> np.ndarray:
  """Preprocesses stored data with the fixed key of every evaluation."""
  key = evaluation_keys().binarise
  return data.preprocess_once(make_preprocess(config, x), key, x)


def transform_of(config: Config) -> data.Transform:
  """Returns what is done to images before anything else."""
  options = config.data
  return data.Transform(options.image_shape, options.resize, options.invert)


def prepare(
  config: Config, condition: data.Condition | None, split: data.Rows
) -> Any:
  """Returns the preprocessed examples of a split, with their conditions."""
  x = preprocess(config, np.asarray(filled(split.x)))
  return examples.of_split(config, condition, x, split)


def load_train(
  config: Config, tell: data.Tell = data.no_one
) -> tuple[data.Split, data.Rows]:
  """Loads the training split, or leaves it on disk, and the validation split.

  Both are as stored, after what `transform_of` does.

  Args:
    config: options of the run.
    tell: is called with a sentence on each change of the numbers.
  """
  return data.load_train(
    config.data.dataset,
    data_dir=config.data.data_dir,
    num_validation=config.data.num_validation,
    stream=config.data.stream,
    train_fraction=config.data.train_fraction,
    beside=_beside(config),
    transform=transform_of(config),
    tell=tell,
  )


def load_test(config: Config) -> data.Rows:
  """Loads the test split as stored."""
  options = config.data
  return data.load_test(
    options.dataset,
    data_dir=options.data_dir,
    stream=options.stream,
    beside=_beside(config),
    transform=transform_of(config),
  )


def _beside(config: Config) -> tuple[str, ...]:
  """Returns the arrays beside the images that the options ask for."""
  asked = {
    'y': config.data.condition == 'y',
    'mask': config.data.missing == 'mask',
  }
  return tuple(name for name in asked if asked[name])


def load(config: Config, digests: Digests = None) -> Splits:
  """Loads the training, validation and test splits as stored.

  Args:
    config: options of the run.
    digests: recorded digests of the splits; None for a run without them.

  Raises:
    UserError: no such data set, or other data than those of the digests.
  """
  lines: list[str] = []
  train, validation = load_train(config, lines.append)
  if lines:
    print(*lines, sep='\n', flush=True)
  if isinstance(train.x, data.Streamed):
    print(
      f'{config.data.dataset}: {train.x.nbytes / 2**30:.3g} GiB of training '
      'images are read from disk, now once for their mean and digest',
      flush=True,
    )
  found = Splits(train=train, validation=validation, test=load_test(config))
  _check_same(config, _as_splits(found), digests)
  return found


def load_split(
  config: Config,
  name: str,
  digests: Digests = None,
  *,
  num_examples: int = 0,
  statistics: Statistics | None = None,
  condition: data.Condition | None = None,
) -> tuple[data.Rows, Any]:
  """Loads a split as stored, and preprocessed for the likelihood.

  Args:
    config: options of the run.
    name: 'train', 'validation' or 'test'.
    digests: recorded digests of the splits; None for a run without them.
    num_examples: number of examples from the start of the split; 0 for all.
    statistics: recorded statistics of a run that standardises its data.
    condition: facts of the conditions, as recorded.

  Raises:
    UserError: no such data set, data outside the likelihood's support, other
      data than those of the digests, fewer examples, or more than the memory.
  """
  if name == 'test':
    found = {'test': data.Split(*load_test(config))}
  else:
    train, validation = load_train(config)
    found = {'train': train, 'validation': data.Split(*validation)}
    if name == 'validation' and isinstance(train.x, data.Streamed):
      del found['train']  # Its digest would take a pass over the disk.
  _check_same(config, found, digests)
  first = _first(found[name], num_examples)
  stored = data.in_memory(f'--split={name}', first)
  stored = standardise.apply(statistics, stored)
  return stored, prepare(config, condition, stored)


def _first(split: data.Split, count: int) -> data.Split:
  """Returns the first `count` examples, or all of them for 0."""
  count = count or len(split.x)
  if count > len(split.x):
    raise UserError(
      f'--num_examples: got {count}, expected at most {len(split.x)}, the '
      'examples of the split. Use fewer'
    )
  if isinstance(split.x, data.Streamed):
    x = split.x.take(np.arange(count))
    # As stored, and in floating point.
    needed = x.nbytes * (1 + jnp.result_type(float).itemsize)
    data.check_fits('--num_examples', needed, 'Use fewer')
    return data.Split(x, None)
  return split.take(slice(count))


def digests_of(found: Splits, *, is_drawn: bool = False) -> dict[str, str]:
  """Returns the digest of each split, as config.json records it.

  Args:
    found: splits as stored.
    is_drawn: as for `data.digest`.
  """
  return {
    name: data.digest(x, is_drawn=is_drawn)
    for name, x in _as_splits(found).items()
  }


def standardised(
  config: Config, found: Splits, recorded: Statistics | None = None
) -> tuple[Splits, Statistics | None]:
  """Standardises all splits, if the options ask for it.

  Args:
    config: options of the run.
    found: splits as stored.
    recorded: statistics of a run that is resumed; None to compute them from
      the training split.

  Returns:
    (splits, statistics); None without `--standardise`.
  """
  if not config.data.standardise:
    return found, None
  statistics = recorded or standardise.statistics_of(
    config.data.dataset, found['train'].x, found['train'].mask
  )
  return Splits(
    train=standardise.apply(statistics, found['train']),
    validation=standardise.apply(statistics, found['validation']),
    test=standardise.apply(statistics, found['test']),
  ), statistics


def _as_splits(found: Splits) -> dict[str, data.Split]:
  return {
    'train': found['train'],
    'validation': data.Split(*found['validation']),
    'test': data.Split(*found['test']),
  }


def _check_same(
  config: Config, found: Mapping[str, data.Split], digests: Digests
) -> None:
  """Raises `UserError` unless the splits are those of the digests."""
  if digests is None:
    return
  is_drawn = data.is_drawn(config.data.dataset)
  now = {
    name: data.digest(split, is_drawn=is_drawn) for name, split in found.items()
  }
  other = [name for name in now if now[name] != digests.get(name)]
  if other:
    sizes = ', '.join(f'{len(found[name].x)} {name}' for name in other)
    raise UserError(
      f'--dataset={config.data.dataset}: got other data ({sizes} examples) '
      'than those with which the run started. Use the original data, or '
      'another --workdir'
    )
