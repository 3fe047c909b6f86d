"""Preprocessing of the data of a run, from its options."""

import jax.numpy as jnp
import numpy as np

from vae_jax import data
from vae_jax.models import LIKELIHOODS
from vae_jax.models.supports import BINARY, PIXELS, REALS, UNIT
from vae_jax.runs import standardise
from vae_jax.runs.config import Config
from vae_jax.runs.config.conflicts import likelihoods_of
from vae_jax.runs.missing import filled
from vae_jax.runs.standardise import Statistics


def make_preprocess(config: Config, x: data.Examples) -> data.Preprocess:
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


def describe_data(
  config: Config,
  x: data.Examples,
  statistics: Statistics | None = None,
  condition: data.Condition | None = None,
) -> list[str]:
  """Returns lines on what is done to the data and which likelihood fits.

  Args:
    config: options of the run.
    x: training data as stored, `[N, ...]`.
    statistics: by which x is standardised; None for none.
    condition: facts of the training conditions.
  """
  x = filled(x)
  preprocess = make_preprocess(config, x)
  size = ' x '.join(map(str, x.shape[1:]))
  what = {'f': 'real numbers', 'i': 'counts', 'u': 'images'}[x.dtype.kind]
  if x.dtype == np.uint8 and x.ndim == 2:
    what = 'zeros and ones'
  words = data.describe_preprocess(preprocess)
  precision = jnp.result_type(float).name
  lines = [f'x: {what} of {size}; {words}; computed in {precision}']
  fraction = config.data.train_fraction
  if fraction < 1:
    lines.append(
      f'   {fraction:.3g} of the training examples, chosen at random, always '
      'alike (--train_fraction)'
    )
  if statistics is not None:
    lines.append(f'   {standardise.describe(statistics)}')
  beside = _describe_beside(config, condition)
  if x.dtype != np.uint8:
    return lines + beside
  is_binary = LIKELIHOODS[config.model.likelihood].support == BINARY
  levels = likelihoods_of(UNIT, REALS, PIXELS)
  grey = data.grey_share(x) > 0
  if is_binary and grey and x.shape[-1] > 1:
    lines.append(
      f'warning: --dataset={config.data.dataset}: has {x.shape[-1]} channels, '
      'which are binarised one by one: colours become noise. Use '
      f'{levels}, which fit 8-bit pixels'
    )
  elif is_binary and grey:
    lines.append(f'   the grey levels themselves fit {levels}')
  elif not is_binary and not grey:
    fitting = likelihoods_of(BINARY)
    lines.append(f'   all pixels are black or white, which fit {fitting}')
  return lines + beside


def _describe_beside(
  config: Config, condition: data.Condition | None
) -> list[str]:
  """Returns lines on the mask and the condition."""
  lines = []
  if config.data.missing == 'mask':
    lines.append(
      'mask: missing data leave the sum of log p(x|z); q sees zeros and the '
      'mask'
    )
  if condition:
    lines.append(f'y: {config.data.condition}; {condition.words}')
  return lines
