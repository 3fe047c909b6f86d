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
    'digits, digits_counts, linear_gaussian or simulated_counts (embedded), a '
    'TFDS image set such as mnist, a file.npz, .npy or .csv, or a folder of '
    '.npy shards or of PNG and JPEG images',
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
  image_shape: tuple[int, ...] = option(
    (),
    'height, width and perhaps channels of the images in rows [N, D] of a '
    'file, or of images whose channels seem to come first; empty: rows are a '
    'table of real numbers',
    shared.DATA,
    at_least=1,
    at_most=shared.MANY,
  )
  resize: tuple[int, ...] = option(
    (),
    'height and width to which every image is resized; empty: as stored',
    shared.DATA,
    at_least=1,
    at_most=shared.MANY,
  )
  invert: bool = option(
    False, 'invert images: white becomes black', shared.DATA
  )
  standardise: bool = option(
    False,
    'subtract the training mean and divide by the standard deviation, of each '
    'column of a table or each channel of real-valued images',
    shared.DATA,
  )
  train_fraction: float = option(
    1.0,
    'share of the training examples to train on, chosen at random but always '
    'alike',
    shared.DATA,
    above=0.0,
    at_most=1.0,
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
