"""Every option of every command, once: default, bounds, unit and help.

A `Config` is frozen and valid: an impossible value raises `UserError` when
the object is made, from Python as from the command line.
"""

import dataclasses

from vae_jax import compatibility
from vae_jax.errors import UserError
from vae_jax.options import option, validate

_DATA, _MODEL, _OBJECTIVE = 'Data', 'Model', 'Objective'
_TRAINING, _RUN, _LIKELIHOOD = 'Training', 'Run', 'Likelihood'

_dataset = option(
  'digits',
  'digits or linear_gaussian (embedded), a TFDS image set such as mnist, or '
  'a file.npz',
  _DATA,
)
_data_dir = option(
  '',
  'TFDS directory; empty: $TFDS_DATA_DIR or ~/tensorflow_datasets',
  _DATA,
)
_platform = option(
  'auto',
  'device to run on; anything but auto fails rather than falls back',
  _RUN,
  choices=('auto', 'cpu', 'gpu', 'tpu'),
)


@dataclasses.dataclass(frozen=True)
class Config:
  """A training run, whole. Raises `UserError` on an impossible value."""

  dataset: str = _dataset
  data_dir: str = _data_dir
  binarisation: str = option(
    'auto',
    'dynamic redraws x ~ Bernoulli(pixel) at each visit; none draws no zeros '
    'and ones; auto is dynamic for the likelihood bernoulli, none for others',
    _DATA,
    choices=('auto', 'dynamic', 'none'),
  )
  num_validation: int = option(
    1000,
    'held out of the training set, at most a tenth, if it has no such split',
    _DATA,
    at_least=1,
    unit='images',
  )

  latent_dim: int = option(10, 'size of z', _MODEL, at_least=1)
  hidden_sizes: tuple[int, ...] = option(
    (200, 200),
    'units of the hidden layers, encoder order; the decoder mirrors them; '
    'empty: both are linear',
    _MODEL,
    at_least=1,
  )
  activation: str = option(
    'tanh',
    'of the hidden layers',
    _MODEL,
    choices=('elu', 'gelu', 'relu', 'silu', 'softplus', 'tanh'),
  )
  posterior: str = option(
    'normal',
    'q(z|x); full_normal has any covariance',
    _MODEL,
    choices=('normal', 'full_normal', 'laplace', 'logistic', 'bernoulli'),
  )
  prior: str = option(
    'normal',
    'p(z), of location 0 and scale 1; bernoulli has probabilities 1/2',
    _MODEL,
    choices=('normal', 'laplace', 'logistic', 'bernoulli'),
  )
  likelihood: str = option(
    'bernoulli',
    'p(x|z): bernoulli of 0 and 1; continuous_bernoulli of [0, 1]; normal of '
    'real numbers, sigma learned, fixed, or optimal for each batch; '
    'discretised_logistic and categorical of 8-bit pixels',
    _MODEL,
    choices=tuple(compatibility.SUPPORTS),
  )
  sigma: float = option(0.1, 'of normal_fixed', _MODEL, above=0.0)

  objective: str = option(
    'elbo',
    'bound to maximise; the others than elbo weigh num_samples draws',
    _OBJECTIVE,
    choices=tuple(compatibility.ESTIMATORS),
  )
  estimator: str = option(
    'pathwise',
    'gradient of E_q; mixture learns how much of stl or dreg to mix in',
    _OBJECTIVE,
    choices=compatibility.ALL_ESTIMATORS,
  )
  num_samples: int = option(
    1, 'draws of z an example, K of a bound', _OBJECTIVE, at_least=1
  )
  num_groups: int = option(
    1, 'bounds of K draws each, of miwae and piwae', _OBJECTIVE, at_least=1
  )
  form: str = option(
    'auto',
    'of the elbo: kl or entropy in closed form, joint all sampled',
    _OBJECTIVE,
    choices=('auto', 'kl', 'entropy', 'joint'),
  )
  beta: float = option(
    1.0, 'weight of the KL in the elbo', _OBJECTIVE, at_least=0.0
  )
  kl_warmup_epochs: int = option(
    0,
    'over which the weight of the KL grows from 0 to beta',
    _OBJECTIVE,
    at_least=0,
    unit='epochs',
  )
  free_bits: float = option(
    0.0,
    'KL of each latent dimension, averaged over a batch, that costs nothing',
    _OBJECTIVE,
    at_least=0.0,
    unit='nats',
  )
  elbo_weight: float = option(
    0.05,
    'of the elbo in ciwae, the rest that of iwae',
    _OBJECTIVE,
    at_least=0.0,
    at_most=1.0,
  )
  alpha: float = option(
    0.5, 'order of the renyi bound: 0 is iwae, 1 the elbo', _OBJECTIVE
  )

  num_epochs: int = option(
    100, 'passes over the training set', _TRAINING, at_least=1, unit='epochs'
  )
  batch_size: int = option(
    50, 'of a gradient step', _TRAINING, at_least=1, unit='images'
  )
  learning_rate: float = option(
    1e-3, 'of Adam, at the start', _TRAINING, above=0.0
  )
  schedule: str = option(
    'constant',
    'learning rate: constant, cosine to 0, or iwae (3^i epochs at 10^(-i/7))',
    _TRAINING,
    choices=('constant', 'cosine', 'iwae'),
  )
  seed: int = option(
    0, 'of every random choice', _TRAINING, at_least=0, at_most=2**32 - 1
  )

  workdir: str = option('', 'of the run; empty: runs/<dataset>', _RUN)
  monitor_gradients: bool = option(
    False,
    'measure signal-to-noise of the gradient against K on the way',
    _RUN,
  )
  nll_num_samples: int = option(
    500, 'importance samples of the final test NLL', _RUN, at_least=1, unit='K'
  )
  platform: str = _platform

  def __post_init__(self) -> None:
    validate(self)
    for problem in compatibility.problems(self):
      raise UserError(problem)


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
  """An evaluation of a trained run. Raises `UserError` like `Config`."""

  workdir: str = option('', 'of the run; empty: the newest one in runs/', _RUN)
  split: str = option(
    'test', 'to measure', _DATA, choices=('train', 'validation', 'test')
  )
  num_examples: int = option(
    0, 'the first of the split; 0: all', _DATA, at_least=0, unit='examples'
  )
  num_samples: int = option(
    5000, 'importance samples an example', _LIKELIHOOD, at_least=1, unit='K'
  )
  dead_units: bool = option(
    False, 'measure the NLL again with dead units taken out', _LIKELIHOOD
  )
  gaps: bool = option(
    False, "split the bound's gap: the family's and the encoder's", _LIKELIHOOD
  )
  num_gap_examples: int = option(
    100, 'of --gaps', _LIKELIHOOD, at_least=1, unit='examples'
  )
  sandwich: bool = option(
    False,
    'annealing: log p(x) from below, and on simulated data both ways',
    _LIKELIHOOD,
  )
  num_sandwich_examples: int = option(
    64, 'of --sandwich', _LIKELIHOOD, at_least=1, unit='examples'
  )
  num_chains: int = option(
    16, 'of --sandwich, an example', _LIKELIHOOD, at_least=1
  )
  num_temperatures: int = option(
    1000, 'of --sandwich, both ends counted', _LIKELIHOOD, at_least=2
  )
  data_dir: str = _data_dir
  platform: str = _platform

  def __post_init__(self) -> None:
    validate(self)


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
  """The preparation of a TFDS set. Raises `UserError` like `Config`."""

  dataset: str = option('mnist', 'a TFDS image set', _DATA)
  data_dir: str = _data_dir
  manual_dir: str = option(
    '', 'folder with the original files; empty: download them', _DATA
  )

  def __post_init__(self) -> None:
    validate(self)


_LAB = 'Lab'
_draws = option(
  100_000, 'gradients drawn a point', _LAB, at_least=1000, unit='draws'
)
_lab_seed = option(
  0, 'of every random choice', _LAB, at_least=0, at_most=2**32 - 1
)


@dataclasses.dataclass(frozen=True)
class DemonstrationsConfig:
  """The demonstrations of the trick. Raises `UserError` like `Config`."""

  workdir: str = option('runs/demonstrations', 'of the figures', _RUN)
  num_draws: int = _draws
  seed: int = _lab_seed
  platform: str = _platform

  def __post_init__(self) -> None:
    validate(self)


@dataclasses.dataclass(frozen=True)
class GradientVarianceConfig:
  """The comparison of estimators. Raises `UserError` like `Config`."""

  workdir: str = option('runs/gradient_variance', 'of the results', _RUN)
  suite: str = option(
    'all',
    'what to compare them on',
    _LAB,
    choices=(
      *('all', 'costs', 'families', 'logistic'),
      *('signal_to_noise', 'mixture'),
    ),
  )
  num_draws: int = _draws
  num_steps: int = option(
    5000, 'of the logistic regression', _LAB, at_least=1, unit='steps'
  )
  seed: int = _lab_seed
  platform: str = _platform

  def __post_init__(self) -> None:
    validate(self)
