"""The options of `train`."""

import dataclasses

from vae_jax import compatibility
from vae_jax.config import shared
from vae_jax.errors import UserError
from vae_jax.options import option, validate


@dataclasses.dataclass(frozen=True)
class Config:
  """A training run, whole. Raises `UserError` on an impossible value."""

  dataset: str = option(
    'digits',
    'digits or linear_gaussian (embedded), a TFDS image set such as mnist, or '
    'a file.npz',
    shared.DATA,
  )
  data_dir: str = shared.data_dir
  binarisation: str = option(
    'auto',
    'dynamic redraws x ~ Bernoulli(pixel) at each visit; none draws no zeros '
    'and ones; auto is dynamic for the likelihood bernoulli, none for others',
    shared.DATA,
    choices=('auto', 'dynamic', 'none'),
  )
  num_validation: int = option(
    1000,
    'held out of the training set, at most a tenth, if it has no such split',
    shared.DATA,
    at_least=1,
    unit='images',
  )

  latent_dim: int = option(
    10, 'size of z', shared.MODEL, at_least=1, at_most=shared.MANY
  )
  hidden_sizes: tuple[int, ...] = option(
    (200, 200),
    'units of the hidden layers, encoder order; the decoder mirrors them; '
    'empty: both are linear',
    shared.MODEL,
    at_least=1,
    at_most=shared.MANY,
  )
  activation: str = option(
    'tanh',
    'of the hidden layers',
    shared.MODEL,
    choices=('elu', 'gelu', 'relu', 'silu', 'softplus', 'tanh'),
  )
  posterior: str = option(
    'normal',
    'q(z|x); full_normal has any covariance',
    shared.MODEL,
    choices=('normal', 'full_normal', 'laplace', 'logistic', 'bernoulli'),
  )
  prior: str = option(
    'normal',
    'p(z), of location 0 and scale 1; bernoulli has probabilities 1/2',
    shared.MODEL,
    choices=('normal', 'laplace', 'logistic', 'bernoulli'),
  )
  likelihood: str = option(
    'bernoulli',
    'p(x|z): bernoulli of 0 and 1; continuous_bernoulli of [0, 1]; normal of '
    'real numbers, sigma learned, fixed, or optimal for each batch; '
    'discretised_logistic and categorical of 8-bit pixels',
    shared.MODEL,
    choices=tuple(compatibility.SUPPORTS),
  )
  sigma: float = option(0.1, 'of normal_fixed', shared.MODEL, above=0.0)

  objective: str = option(
    'elbo',
    'bound to maximise; the others than elbo weigh num_samples draws',
    shared.OBJECTIVE,
    choices=tuple(compatibility.ESTIMATORS),
  )
  estimator: str = option(
    'pathwise',
    'gradient of E_q; mixture learns how much of stl or dreg to mix in',
    shared.OBJECTIVE,
    choices=compatibility.ALL_ESTIMATORS,
  )
  num_samples: int = option(
    1,
    'draws of z an example, K of a bound',
    shared.OBJECTIVE,
    at_least=1,
    at_most=shared.MANY,
  )
  num_groups: int = option(
    1,
    'bounds of K draws each, of miwae and piwae',
    shared.OBJECTIVE,
    at_least=1,
    at_most=shared.MANY,
  )
  form: str = option(
    'auto',
    'of the elbo: kl or entropy in closed form, joint all sampled',
    shared.OBJECTIVE,
    choices=('auto', 'kl', 'entropy', 'joint'),
  )
  beta: float = option(
    1.0, 'weight of the KL in the elbo', shared.OBJECTIVE, at_least=0.0
  )
  kl_warmup_epochs: int = option(
    0,
    'over which the weight of the KL grows from 0 to beta',
    shared.OBJECTIVE,
    at_least=0,
    at_most=shared.MANY,
    unit='epochs',
  )
  free_bits: float = option(
    0.0,
    'KL of each latent dimension, averaged over a batch, that costs nothing',
    shared.OBJECTIVE,
    at_least=0.0,
    unit='nats',
  )
  elbo_weight: float = option(
    0.05,
    'of the elbo in ciwae, the rest that of iwae',
    shared.OBJECTIVE,
    at_least=0.0,
    at_most=1.0,
  )
  alpha: float = option(
    0.5, 'order of the renyi bound: 0 is iwae, 1 the elbo', shared.OBJECTIVE
  )

  num_epochs: int = option(
    100,
    'passes over the training set',
    shared.TRAINING,
    at_least=1,
    at_most=shared.MANY,
    unit='epochs',
  )
  batch_size: int = option(
    50, 'of a gradient step', shared.TRAINING, at_least=1, unit='images'
  )
  learning_rate: float = option(
    1e-3, 'of Adam, at the start', shared.TRAINING, above=0.0
  )
  schedule: str = option(
    'constant',
    'learning rate: constant, cosine to 0, or iwae (3^i epochs at 10^(-i/7))',
    shared.TRAINING,
    choices=('constant', 'cosine', 'iwae'),
  )
  seed: int = option(
    0, 'of every random choice', shared.TRAINING, at_least=0, at_most=2**32 - 1
  )
  on_nonfinite: str = option(
    'stop',
    'at a step whose loss or gradient is not finite: stop the run, or skip '
    'the step and count it',
    shared.TRAINING,
    choices=('stop', 'skip'),
  )

  workdir: str = option('', 'of the run; empty: runs/<dataset>', shared.RUN)
  monitor_gradients: bool = option(
    False,
    'measure signal-to-noise of the gradient against K on the way',
    shared.RUN,
  )
  nll_num_samples: int = option(
    500,
    'importance samples of the final test NLL',
    shared.RUN,
    at_least=1,
    at_most=shared.MOST,
    unit='K',
  )
  checkpoint_seconds: float = option(
    10.0, 'between two checkpoints', shared.RUN, at_least=0.0, unit='seconds'
  )
  keep_checkpoints: int = option(
    2, 'newest checkpoints that stay, beside the best', shared.RUN, at_least=1
  )
  platform: str = shared.platform

  def __post_init__(self) -> None:
    validate(self)
    for problem in compatibility.problems(self):
      raise UserError(problem)
