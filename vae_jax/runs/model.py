"""The model of a run, from its options and statistics of its training data."""

from typing import Any

import numpy as np

from vae_jax import data
from vae_jax.models import LIKELIHOODS, PRIORS, LatentModel
from vae_jax.models.make import make_vae
from vae_jax.runs import examples, splits
from vae_jax.runs.config import Config
from vae_jax.runs.missing import observed_mean, observed_scale


def make_model(
  config: Config,
  x: Any,
  condition: data.Condition | None,
  stored: Any,
) -> LatentModel:
  """Makes the model of the options, with statistics of the training data."""
  mean: Any = data.mean_example
  scale: Any = data.scale_about_mean
  given = [x]
  if config.data.missing == 'mask':
    mean, scale, given = observed_mean, observed_scale, [x, stored['mask']]
  facts: dict[str, Any] = {'data_mean': mean(*given)}
  if 'data_scale' in LIKELIHOODS[config.model.likelihood].statistics:
    facts['data_scale'] = scale(*given)
  if 'data_examples' in PRIORS[config.model.prior].statistics:
    facts['data_examples'] = _some_examples(config, x)
  facts |= examples.facts_of(config, condition)
  return make_vae(config.model, x.shape[1:], **facts)


def _some_examples(config: Config, x: data.Examples) -> np.ndarray:
  """Returns training examples as the encoder sees them, in random order.

  They depend on no seed, so that each of many models equals its single run.
  """
  # NumPy guarantees the stream of RandomState, but not that of default_rng.
  order = np.random.RandomState(0).permutation(len(x))
  rows = np.sort(order[: config.model.num_pseudo_inputs])
  return splits.preprocess(config, x[rows])
