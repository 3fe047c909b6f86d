"""Preprocessing of the data of a run, from its options."""

import numpy as np

from vae_jax import data
from vae_jax.models import LIKELIHOODS
from vae_jax.runs.config import Config


def make_preprocess(config: Config, x: np.ndarray) -> data.Preprocess:
  """Returns `data.make_preprocess` for the likelihood of a config.

  A model given from Python has no likelihood in the tables: the option
  `likelihood` then states what kind of data it takes.

  Args:
    config: options of the run.
    x: data as stored, `[N, ...]`.

  Raises:
    UserError: the data are outside the support of the likelihood.
  """
  likelihood, options = config.model.likelihood, config.data
  return data.make_preprocess(
    x,
    support=LIKELIHOODS[likelihood].support,
    binarisation='none' if options.binarisation == 'none' else 'dynamic',
    dataset=options.dataset,
    likelihood=f'--likelihood={likelihood}',
    likelihoods={name: row.support for name, row in LIKELIHOODS.items()},
  )
