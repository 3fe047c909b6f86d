"""Options of the data set and its preprocessing."""

import dataclasses

from vae_jax.data.memory import STREAM
from vae_jax.runs.config import shared
from vae_jax.runs.config.options import option
from vae_jax.runs.config.parts.part import Part


@dataclasses.dataclass(frozen=True)
class DataOptions(Part):
  """The data set and its preprocessing."""

  dataset: str = option(
    'digits',
    'digits or linear_gaussian (embedded), a TFDS image set such as mnist, a '
    'file.npz, or a folder of .npy shards',
    shared.DATA,
  )
  data_dir: str = shared.data_dir
  binarisation: str = option(
    'auto',
    'dynamic draws x ~ Bernoulli(pixel) at each visit; none expects zeros and '
    'ones; auto is dynamic for the likelihood bernoulli, none for others',
    shared.DATA,
    choices=('auto', 'dynamic', 'none'),
  )
  num_validation: int = option(
    1000,
    'images cut from the training set if it has no validation split, at most '
    'a tenth',
    shared.DATA,
    at_least=1,
    unit='images',
  )
  condition: str = option(
    'none',
    'condition y of p(x|y): the labels of the data set, or the array y of an '
    'npz, of classes (integers, names) or of covariates (real numbers, '
    'standardised over the training set)',
    shared.DATA,
    choices=('none', 'labels', 'y'),
  )
  missing: str = option(
    'refuse',
    'missing data, which are nan in real numbers or false in the array mask of '
    'an npz: refuse, or mask: they leave the sum of log p(x|z), and q sees '
    'zeros and the mask',
    shared.DATA,
    choices=('refuse', 'mask'),
  )
  num_labelled: int = option(
    0,
    'semi-supervised (M2): labels of this many training examples are seen, '
    'equally many per class, chosen by the seed; 0: all labels are the '
    'condition',
    shared.DATA,
    at_least=0,
    unit='examples',
  )
  stream: str = option(
    'auto',
    'read training images from disk at each visit, with the same result; auto '
    'does so if they exceed a quarter of the memory',
    shared.DATA,
    choices=STREAM,
  )
