"""Splits of a run's data set, as stored and preprocessed."""

from collections.abc import Mapping

import numpy as np

from vae_jax import data
from vae_jax.errors import UserError
from vae_jax.evaluate import evaluation_keys
from vae_jax.runs.config import Config
from vae_jax.runs.preprocess import make_preprocess

Splits = Mapping[str, data.Split]
# Split -> SHA-256 of its examples, None in a folder of an older version.
Digests = Mapping[str, str] | None


def preprocess(config: Config, x: np.ndarray) -> np.ndarray:
  """Preprocesses stored data with the fixed key of every evaluation."""
  key = evaluation_keys().binarise
  return data.preprocess_once(make_preprocess(config, x), key, x)


def load_train(config: Config) -> tuple[data.Split, data.Split]:
  """Loads the training and validation splits as stored."""
  return data.load_train(
    config.data.dataset,
    data_dir=config.data.data_dir,
    num_validation=config.data.num_validation,
  )


def load_test(config: Config) -> data.Split:
  """Loads the test split as stored."""
  options = config.data
  return data.load_test(options.dataset, data_dir=options.data_dir)


def load(config: Config, digests: Digests = None) -> Splits:
  """Loads the training, validation and test splits as stored.

  Args:
    config: options of the run.
    digests: recorded digests of the splits; None for a run without them.

  Raises:
    UserError: no such data set, or other data than those of the digests.
  """
  train, validation = load_train(config)
  found = {'train': train, 'validation': validation, 'test': load_test(config)}
  _check_same(config, found, digests)
  return found


def load_split(
  config: Config, name: str, digests: Digests = None
) -> tuple[data.Split, np.ndarray]:
  """Loads a split as stored, and preprocessed for the likelihood.

  Args:
    config: options of the run.
    name: 'train', 'validation' or 'test'.
    digests: recorded digests of the splits; None for a run without them.

  Raises:
    UserError: no such data set, data outside the likelihood's support, or
      other data than those of the digests.
  """
  if name == 'test':
    found = {'test': load_test(config)}
  else:
    train, validation = load_train(config)
    found = {'train': train, 'validation': validation}
  _check_same(config, found, digests)
  return found[name], preprocess(config, found[name].x)


def digests_of(found: Splits) -> dict[str, str]:
  """Returns the digest of each split, as config.json records it."""
  return {name: data.digest(split) for name, split in found.items()}


def _check_same(config: Config, found: Splits, digests: Digests) -> None:
  """Raises `UserError` unless the splits are those of the digests."""
  if digests is None:
    return
  now = digests_of(found)
  other = [name for name in now if now[name] != digests.get(name)]
  if other:
    sizes = ', '.join(f'{len(found[name].x)} {name}' for name in other)
    raise UserError(
      f'--dataset={config.data.dataset}: got other data ({sizes} examples) '
      'than those with which the run started. Use the original data, or '
      'another --workdir'
    )
