"""Options of the bound and its gradient estimator."""

import dataclasses

from vae_jax.objectives import ESTIMATORS, OBJECTIVES
from vae_jax.runs.config import shared
from vae_jax.runs.config.auto import AUTO
from vae_jax.runs.config.options import option
from vae_jax.runs.config.parts.part import Part


@dataclasses.dataclass(frozen=True)
class ObjectiveOptions(Part):
  """The bound and its gradient estimator; keyword arguments of `make_loss`."""

  objective: str = option(
    'elbo',
    'bound to maximise; all but elbo weight num_samples samples; miwae is the '
    'multiply importance-weighted bound (Rainforth et al. 2018), and missing '
    'data are --missing=mask',
    shared.OBJECTIVE,
    choices=OBJECTIVES,
  )
  estimator: str = option(
    'pathwise',
    'gradient with respect to the encoder; adaptive combines pathwise with '
    'stl or dreg by a learned coefficient; of bernoulli or categorical z '
    'enumeration is exact, gumbel_softmax and straight_through are BIASED; '
    'auto measures the unbiased ones at the start and after each tenth of the '
    'epochs, and takes that of the least variance x cost',
    shared.OBJECTIVE,
    choices=(*ESTIMATORS, AUTO),
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
  classification_weight: float = option(
    0.1,
    'weight w of -log q(y|x), the mean over the labelled examples, with '
    '--num_labelled; the paper has alpha = w N = 0.1 N',
    shared.OBJECTIVE,
    at_least=0.0,
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
  temperature: float = option(
    0.5,
    'temperature of the relaxed draws of gumbel_softmax and straight_through',
    shared.OBJECTIVE,
    above=0.0,
  )
