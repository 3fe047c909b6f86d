"""Splits of a run's data set, as stored and preprocessed."""

import numpy as np

from vae_jax import data
from vae_jax.evaluate import evaluation_keys
from vae_jax.runs.config import Config
from vae_jax.runs.preprocess import make_preprocess


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


def load_split(config: Config, name: str) -> tuple[data.Split, np.ndarray]:
  """Loads a split as stored, and preprocessed for the likelihood.

  Args:
    config: options of the run.
    name: 'train', 'validation' or 'test'.

  Raises:
    UserError: no such data set, or data outside the likelihood's support.
  """
  if name == 'test':
    options = config.data
    split = data.load_test(options.dataset, data_dir=options.data_dir)
  else:
    train, validation = load_train(config)
    split = train if name == 'train' else validation
  return split, preprocess(config, split.x)
