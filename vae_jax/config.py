"""Every option of every command, once: default, bounds, unit and help.

A `Config` is frozen and valid: an impossible value raises `UserError` when
the object is made, from Python as from the command line.
"""

import dataclasses
import math
import operator
from collections.abc import Callable
from typing import Any

from vae_jax.errors import UserError

_BOUNDS: dict[str, tuple[Callable[[Any, Any], bool], str]] = {
  'above': (operator.gt, 'above'),
  'below': (operator.lt, 'below'),
  'at_least': (operator.ge, 'at least'),
  'at_most': (operator.le, 'at most'),
}


def _option(default: Any, help: str, group: str, **metadata: Any) -> Any:
  """Declares a field; `metadata` may hold choices, unit and `_BOUNDS`."""
  return dataclasses.field(
    default=default, metadata={'help': help, 'group': group, **metadata}
  )


def _validate(config: Any) -> None:
  for field in dataclasses.fields(config):
    value = getattr(config, field.name)
    if isinstance(field.default, tuple):
      if not isinstance(value, tuple):
        raise UserError(f'--{field.name}={value}: must be whole numbers')
      for item in value:
        _check(field, item, int)
    else:
      _check(field, value, type(field.default))


def _check(field: dataclasses.Field[Any], value: Any, kind: Any) -> None:
  """Raises `UserError` unless `value` has the type and bounds of `field`."""
  problem = f'--{field.name}={value}: must be'
  if not isinstance(value, (int, float) if kind is float else kind):
    raise UserError(f'{problem} of type {kind.__name__}')
  choices = field.metadata.get('choices')
  if choices and value not in choices:
    raise UserError(f'{problem} one of {", ".join(choices)}')
  if kind is float and not math.isfinite(value):
    raise UserError(f'{problem} a finite number')
  for bound, (holds, words) in _BOUNDS.items():
    limit = field.metadata.get(bound)
    if limit is not None and not holds(value, limit):
      raise UserError(f'{problem} {words} {limit}')


_DATA, _MODEL, _OBJECTIVE = 'Data', 'Model', 'Objective'
_TRAINING, _RUN = 'Training', 'Run'

_dataset = _option(
  'digits',
  'digits or linear_gaussian (embedded), a TFDS image set such as mnist, or '
  'a file.npz',
  _DATA,
)
_data_dir = _option(
  '',
  'TFDS directory; empty: $TFDS_DATA_DIR or ~/tensorflow_datasets',
  _DATA,
)
_platform = _option(
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
  binarisation: str = _option(
    'auto',
    'dynamic redraws x ~ Bernoulli(pixel) at each visit; none takes x as it '
    'is; auto is dynamic for the likelihood bernoulli and none for others',
    _DATA,
    choices=('auto', 'dynamic', 'none'),
  )
  num_validation: int = _option(
    1000,
    'held out of the training set, at most a tenth, if it has no such split',
    _DATA,
    at_least=1,
    unit='images',
  )

  latent_dim: int = _option(10, 'size of z', _MODEL, at_least=1)
  hidden_sizes: tuple[int, ...] = _option(
    (200, 200),
    'units of the hidden layers, encoder order; the decoder mirrors them; '
    'empty: both are linear',
    _MODEL,
    at_least=1,
  )
  activation: str = _option(
    'tanh',
    'of the hidden layers',
    _MODEL,
    choices=('elu', 'gelu', 'relu', 'silu', 'softplus', 'tanh'),
  )
  posterior: str = _option('normal', 'q(z|x)', _MODEL, choices=('normal',))
  prior: str = _option('normal', 'p(z), standard', _MODEL, choices=('normal',))
  likelihood: str = _option(
    'bernoulli',
    'p(x|z): bernoulli of 0 and 1, normal of real numbers (sigma is learned)',
    _MODEL,
    choices=('bernoulli', 'normal'),
  )

  objective: str = _option(
    'elbo',
    'bound to maximise: elbo, or iwae with K = num_samples',
    _OBJECTIVE,
    choices=('elbo', 'iwae'),
  )
  form: str = _option(
    'kl',
    'of the elbo: kl (closed form), entropy (closed form), joint (all sampled)',
    _OBJECTIVE,
    choices=('kl', 'entropy', 'joint'),
  )
  estimator: str = _option(
    'pathwise', 'gradient of E_q', _OBJECTIVE, choices=('pathwise',)
  )
  num_samples: int = _option(1, 'draws of z an example', _OBJECTIVE, at_least=1)
  beta: float = _option(
    1.0, 'weight of the KL in the elbo', _OBJECTIVE, at_least=0.0
  )

  num_epochs: int = _option(
    100, 'passes over the training set', _TRAINING, at_least=1, unit='epochs'
  )
  batch_size: int = _option(
    50, 'of a gradient step', _TRAINING, at_least=1, unit='images'
  )
  learning_rate: float = _option(
    1e-3, 'of Adam, at the start', _TRAINING, above=0.0
  )
  schedule: str = _option(
    'constant',
    'learning rate: constant, cosine to 0, or iwae (3^i epochs at 10^(-i/7))',
    _TRAINING,
    choices=('constant', 'cosine', 'iwae'),
  )
  seed: int = _option(
    0, 'of every random choice', _TRAINING, at_least=0, at_most=2**32 - 1
  )

  workdir: str = _option('', 'of the run; empty: runs/<dataset>', _RUN)
  nll_num_samples: int = _option(
    500, 'importance samples of the final test NLL', _RUN, at_least=1, unit='K'
  )
  platform: str = _platform

  def __post_init__(self) -> None:
    _validate(self)
    if self.binarisation == 'dynamic' and self.likelihood != 'bernoulli':
      raise UserError(
        f'--binarisation=dynamic with --likelihood={self.likelihood}: only '
        '--likelihood=bernoulli takes zeros and ones; leave --binarisation out'
      )
    if self.objective == 'iwae' and (self.form, self.beta) != ('kl', 1.0):
      raise UserError(
        f'--objective=iwae with --form={self.form} --beta={self.beta}: '
        'importance weights have no form or beta; leave both out'
      )


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
  """An evaluation of a trained run. Raises `UserError` like `Config`."""

  workdir: str = _option('', 'of the run; empty: the newest one in runs/', _RUN)
  num_samples: int = _option(
    5000, 'importance samples an image', 'Likelihood', at_least=1, unit='K'
  )
  data_dir: str = _data_dir
  platform: str = _platform

  def __post_init__(self) -> None:
    _validate(self)


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
  """The preparation of a TFDS set. Raises `UserError` like `Config`."""

  dataset: str = _option('mnist', 'a TFDS image set', _DATA)
  data_dir: str = _data_dir
  manual_dir: str = _option(
    '', 'folder with the original files; empty: download them', _DATA
  )

  def __post_init__(self) -> None:
    _validate(self)


_LAB = 'Lab'
_draws = _option(
  100_000, 'gradients drawn a point', _LAB, at_least=1000, unit='draws'
)
_lab_seed = _option(
  0, 'of every random choice', _LAB, at_least=0, at_most=2**32 - 1
)


@dataclasses.dataclass(frozen=True)
class DemonstrationsConfig:
  """The demonstrations of the trick. Raises `UserError` like `Config`."""

  workdir: str = _option('runs/demonstrations', 'of the figures', _RUN)
  num_draws: int = _draws
  seed: int = _lab_seed
  platform: str = _platform

  def __post_init__(self) -> None:
    _validate(self)


@dataclasses.dataclass(frozen=True)
class GradientVarianceConfig:
  """The comparison of estimators. Raises `UserError` like `Config`."""

  workdir: str = _option('runs/gradient_variance', 'of the results', _RUN)
  suite: str = _option(
    'all',
    'what to compare them on',
    _LAB,
    choices=('all', 'costs', 'families', 'logistic'),
  )
  num_draws: int = _draws
  num_steps: int = _option(
    5000, 'of the logistic regression', _LAB, at_least=1, unit='steps'
  )
  seed: int = _lab_seed
  platform: str = _platform

  def __post_init__(self) -> None:
    _validate(self)
