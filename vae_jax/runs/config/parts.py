"""The options of a training run, one part per concern.

The fields of a part are the keyword arguments of the function that it
configures: `make_vae`, `make_loss`, `make_optimizer`.
"""

import dataclasses

from vae_jax.data.memory import STREAM
from vae_jax.models import LIKELIHOODS, POSTERIORS, PRIORS
from vae_jax.models.networks import ACTIVATIONS, NETWORKS
from vae_jax.objectives import ESTIMATORS, OBJECTIVES
from vae_jax.runs.config import shared
from vae_jax.runs.config.options import option, validate
from vae_jax.training import OPTIMIZERS, SCHEDULES


class _Part:
  """Validates its options when it is made."""

  def __post_init__(self) -> None:
    validate(self)


@dataclasses.dataclass(frozen=True)
class DataOptions(_Part):
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
  stream: str = option(
    'auto',
    'read training images from disk at each visit, with the same result; auto '
    'does so if they exceed a quarter of the memory',
    shared.DATA,
    choices=STREAM,
  )


@dataclasses.dataclass(frozen=True)
class ModelOptions(_Part):
  """The model; keyword arguments of `make_vae`."""

  latent_dim: int = option(
    10, 'size of z', shared.MODEL, at_least=1, at_most=shared.MANY
  )
  network: str = option(
    'mlp',
    'architecture of encoder and decoder',
    shared.MODEL,
    choices=NETWORKS,
  )
  hidden_sizes: tuple[int, ...] = option(
    (200, 200),
    'units per hidden layer of the encoder, mirrored in the decoder; empty: '
    'linear maps',
    shared.MODEL,
    at_least=1,
    at_most=shared.MANY,
  )
  activation: str = option(
    'tanh',
    'nonlinearity of the hidden layers',
    shared.MODEL,
    choices=ACTIVATIONS,
  )
  posterior: str = option(
    'normal',
    'q(z|x); full_normal has a full covariance',
    shared.MODEL,
    choices=POSTERIORS,
  )
  prior: str = option(
    'normal',
    'p(z), with location 0 and scale 1; bernoulli has probabilities 1/2',
    shared.MODEL,
    choices=PRIORS,
  )
  likelihood: str = option(
    'bernoulli',
    'p(x|z): bernoulli of 0 and 1; continuous_bernoulli of [0, 1]; normal of '
    'real numbers, sigma learned, fixed, or optimal for each batch; '
    'discretised_logistic and categorical of 8-bit pixels',
    shared.MODEL,
    choices=LIKELIHOODS,
  )
  sigma: float = option(
    0.1,
    'standard deviation of the likelihood normal_fixed',
    shared.MODEL,
    above=0.0,
  )


@dataclasses.dataclass(frozen=True)
class ObjectiveOptions(_Part):
  """The bound and its gradient estimator; keyword arguments of `make_loss`."""

  objective: str = option(
    'elbo',
    'bound to maximise; all but elbo weight num_samples samples',
    shared.OBJECTIVE,
    choices=OBJECTIVES,
  )
  estimator: str = option(
    'pathwise',
    'gradient with respect to the encoder; adaptive combines pathwise with '
    'stl or dreg by a learned coefficient',
    shared.OBJECTIVE,
    choices=ESTIMATORS,
    # The name before 0.1.0; a mixture is a prior in this field.
    aliases={'mixture': 'adaptive'},
  )
  num_samples: int = option(
    1,
    'latent samples per example (K)',
    shared.OBJECTIVE,
    at_least=1,
    at_most=shared.MANY,
  )
  num_groups: int = option(
    1,
    'number of bounds of K samples each (M) in miwae and piwae',
    shared.OBJECTIVE,
    at_least=1,
    at_most=shared.MANY,
  )
  form: str = option(
    'auto',
    'form of the elbo: kl or entropy in closed form, joint by Monte Carlo',
    shared.OBJECTIVE,
    choices=('auto', 'kl', 'entropy', 'joint'),
  )
  beta: float = option(
    1.0, 'weight of the KL in the elbo', shared.OBJECTIVE, at_least=0.0
  )
  kl_warmup_epochs: int = option(
    0,
    'epochs over which the weight of the KL increases from 0 to beta',
    shared.OBJECTIVE,
    at_least=0,
    at_most=shared.MANY,
    unit='epochs',
  )
  free_bits: float = option(
    0.0,
    'KL per latent dimension, averaged over a batch, without cost',
    shared.OBJECTIVE,
    at_least=0.0,
    unit='nats',
  )
  elbo_weight: float = option(
    0.05,
    'weight of the elbo in ciwae; the rest is the weight of iwae',
    shared.OBJECTIVE,
    at_least=0.0,
    at_most=1.0,
  )
  alpha: float = option(
    0.5,
    'order of the renyi bound: 0 is iwae, 1 the elbo',
    shared.OBJECTIVE,
  )


@dataclasses.dataclass(frozen=True)
class OptimizerOptions(_Part):
  """The optimization; keyword arguments of `make_optimizer`, and its length."""

  num_epochs: int = option(
    100,
    'passes over the training set',
    shared.TRAINING,
    at_least=1,
    at_most=shared.MANY,
    unit='epochs',
  )
  batch_size: int = option(
    50, 'images per gradient step', shared.TRAINING, at_least=1, unit='images'
  )
  optimizer: str = option(
    'adam',
    'gradient-based optimizer',
    shared.TRAINING,
    choices=OPTIMIZERS,
  )
  learning_rate: float = option(
    1e-3, 'learning rate of the first step', shared.TRAINING, above=0.0
  )
  schedule: str = option(
    'constant',
    'learning rate: constant, cosine to 0, or iwae (3^i epochs at 10^(-i/7))',
    shared.TRAINING,
    choices=SCHEDULES,
  )
  learning_rate_warmup_epochs: int = option(
    0,
    'epochs over which the learning rate increases from 0 to that of the '
    'schedule',
    shared.TRAINING,
    at_least=0,
    at_most=shared.MANY,
    unit='epochs',
  )
  on_nonfinite: str = option(
    'stop',
    'at a step whose loss or gradient is not finite: stop the run, or skip '
    'and count the step',
    shared.TRAINING,
    choices=('stop', 'skip'),
  )


@dataclasses.dataclass(frozen=True)
class RunOptions(_Part):
  """The folder of a run, its seed, checkpoints and report."""

  seed: int = option(
    0,
    'seed of every random choice',
    shared.TRAINING,
    at_least=0,
    at_most=2**32 - 1,
  )
  num_seeds: int = option(
    1,
    'number of models, trained in one program with the seeds seed, seed + 1, '
    '...; every number is the mean over them',
    shared.TRAINING,
    at_least=1,
    at_most=shared.MANY,
    unit='seeds',
  )
  workdir: str = option(
    '', 'folder of the run; empty: runs/<dataset>', shared.RUN
  )
  monitor_gradients: bool = option(
    False,
    'measure the signal-to-noise ratio of the gradient against K in training',
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
    10.0, 'time between checkpoints', shared.RUN, at_least=0.0, unit='seconds'
  )
  keep_checkpoints: int = option(
    2, 'newest checkpoints to keep beside the best', shared.RUN, at_least=1
  )
  report: str = option(
    'full',
    'after training: full measures the test split and draws figures, table '
    'leaves out the figures, none only trains',
    shared.RUN,
    choices=('full', 'table', 'none'),
  )
  platform: str = shared.platform
  compile_cache: str = shared.compile_cache
  num_devices: int = shared.num_devices
  distributed: bool = shared.distributed
  coordinator: str = shared.coordinator
  num_processes: int = shared.num_processes
  process_id: int = shared.process_id
