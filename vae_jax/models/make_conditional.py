"""VAEs with conditions, few labels or missing data, built from the tables."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from vae_jax.distributions import Categorical, Distribution
from vae_jax.models.condition import Code, make_code
from vae_jax.models.missing import MissingVAE
from vae_jax.models.networks import NETWORKS, Network
from vae_jax.models.networks.joined import (
  CHANNELS,
  joined_decoder,
  joined_encoder,
)
from vae_jax.models.posteriors import POSTERIORS, PosteriorHead
from vae_jax.models.quick_jit import quick_jit
from vae_jax.models.semi_supervised import SemiSupervisedVAE
from vae_jax.models.vae import VAE, ConditionalVAE, SizeFactorVAE
from vae_jax.types import Array, Key, Params

Model: TypeAlias = (
  VAE | SizeFactorVAE | ConditionalVAE | SemiSupervisedVAE | MissingVAE
)

# Families whose parameters at zero outputs are those of the row of `PRIORS`.
CONDITIONAL_PRIORS = ('normal', 'laplace', 'logistic', 'bernoulli')
# Options of a model whose encoder takes x alone -> their values for all others.
_OF_X_ALONE: dict[str, Callable[[Any], bool]] = {
  'size_factor': lambda value: value == 'none',
  'latent_dims': lambda value: not value,
  'prior': lambda value: value != 'vamp',
}

# network -> VAE, with families and options bound.
Assemble: TypeAlias = Callable[[Network], VAE | SizeFactorVAE]


def check_kind(given: Mapping[str, Any]) -> None:
  """Raises `ValueError` where arguments of `make_vae` exclude each other.

  Args:
    given: arguments of `make_vae` by name.
  """
  classes, prior, missing = (
    given[name] for name in ('num_classes', 'prior', 'missing')
  )
  code = make_code(classes, given['num_covariates'])
  if given['condition_prior'] and not (code and prior in CONDITIONAL_PRIORS):
    raise ValueError(
      f'condition_prior with prior={prior!r}: expected a condition, and one of '
      f'{", ".join(CONDITIONAL_PRIORS)}'
    )
  if given['classifier'] and (missing or not classes):
    raise ValueError(
      f'classifier with num_classes={classes} and missing={missing}: '
      'expected two classes or more, and no missing data'
    )
  for name in not_beside_x(given) if code or missing else ():
    raise ValueError(
      f'{name}={given[name]!r} with a condition or missing data: expected '
      'neither: this model takes x alone'
    )
  shape, row = given['data_shape'], NETWORKS.get(given['network'])
  if (code or missing) and row and row.join is CHANNELS and len(shape) == 2:
    raise ValueError(
      f'data_shape={shape} with network={given["network"]!r} and a condition '
      'or missing data: expected (H, W, C), as both become channels'
    )


def not_beside_x(given: Mapping[str, Any]) -> list[str]:
  """Returns options that admit neither a condition nor missing data.

  Args:
    given: options of the model by name.
  """
  return [name for name, good in _OF_X_ALONE.items() if not good(given[name])]


def make_kind(
  assemble: Assemble,
  network: Network,
  options: Mapping[str, Any],
  given: Mapping[str, Any],
  encoder_input: Callable[[Array], Array],
) -> Model:
  """Builds the kind of model that the arguments of `make_vae` ask for.

  Args:
    assemble: network -> VAE, with families and options bound.
    network: architecture, a row of `NETWORKS`.
    options: options of the network.
    given: arguments of `make_vae` by name, which `check_kind` admits.
    encoder_input: x -> the array that the networks take for it.
  """
  classes, missing = given['num_classes'], given['missing']
  code = make_code(classes, given['num_covariates'])
  if code is None:
    vae = assemble(network)
    return MissingVAE(vae) if missing else vae
  model = make_conditional(
    assemble,
    network,
    code,
    prior=given['prior'] if given['condition_prior'] else '',
    latent_dim=given['latent_dim'],
  )
  if given['classifier']:
    shape = given['data_shape']
    return add_classifier(
      model, network, options, shape, classes, encoder_input
    )
  return MissingVAE(model) if missing else model


def make_conditional(
  assemble: Assemble,
  network: Network,
  code: Code,
  *,
  prior: str = '',
  latent_dim: int = 0,
) -> ConditionalVAE:
  """Builds a conditional VAE from the parts of an unconditional one.

  The encoder takes x and the code of y, the decoder z and the code.

  Args:
    assemble: network -> VAE, with families and options bound; its network maps
      the pairs (x, code of y) and (z, code of y) here.
    network: architecture, a row of `NETWORKS`.
    code: code of y.
    prior: family of a learned p(z|y), one of `CONDITIONAL_PRIORS`, whose
      parameters are affine in the code and start at those of p(z); '' for
      p(z|y) = p(z).
    latent_dim: size of z.

  Returns:
    A `ConditionalVAE` whose params are those of `make_vae`, and 'prior' of a
    learned p(z|y).

  References:
    Sohn, Lee and Yan 2015, Learning Structured Output Representation using
    Deep Conditional Generative Models, section 3.
  """
  vae = assemble(_joined(network, code))
  assert isinstance(vae, VAE), 'check_kind refuses size factors'

  def encode(params: Params, x: Array, y: Array) -> Distribution:
    return vae.encode(params, (x, code.of(y)))  # type: ignore[arg-type]

  def decode(params: Params, z: Array, y: Array) -> Distribution:
    return vae.decode(params, (z, code.of(y)))

  if not prior:
    return ConditionalVAE(
      vae.init, encode, decode, lambda params, y: vae.prior(params)
    )
  head = POSTERIORS[prior].head(latent_dim)

  def init(key: Key) -> Params:
    return vae.init(key) | {'prior': _init_prior(head, code.size)}

  def prior_of(params: Params, y: Array) -> Distribution:
    outputs = {
      name: jnp.tensordot(code.of(y), layer['kernel'], 1) + layer['bias']
      for name, layer in params['prior'].items()
    }
    return head.make({}, outputs)

  return ConditionalVAE(quick_jit(init), encode, decode, prior_of)


def _joined(network: Network, code: Code) -> Network:
  """Returns a network that takes a code beside x and beside z."""

  def make_encoder(data_shape: tuple[int, ...], **options: Any) -> Any:
    return joined_encoder(
      network.make_encoder, network.join, data_shape, code.size, **options
    )

  return network._replace(
    make_encoder=make_encoder,
    make_decoder=functools.partial(_decoder, network, code.size),
  )


def _decoder(
  network: Network, size: int, output_shape: tuple[int, ...], **options: Any
) -> Any:
  return joined_decoder(network.make_decoder, output_shape, size, **options)


def _init_prior(head: PosteriorHead, size: int) -> Params:
  """Returns an affine map that is 0, where p(z|y) = p(z) for every y."""
  return {
    name: {'kernel': jnp.zeros((size, *shape)), 'bias': jnp.zeros(shape)}
    for name, shape in head.outputs.items()
  }


def add_classifier(
  model: ConditionalVAE,
  network: Network,
  options: Mapping[str, Any],
  data_shape: tuple[int, ...],
  num_classes: int,
  encoder_input: Callable[[Array], Array] = lambda x: x,
) -> SemiSupervisedVAE:
  """Adds a classifier q(y|x) with a network of its own to a conditional VAE.

  Args:
    model: its params are a dict, which gains 'classifier'.
    network: architecture, a row of `NETWORKS`.
    options: options of the network.
    data_shape: shape of one x.
    num_classes: number of classes.
    encoder_input: x -> the array that the network takes for it.
  """
  init_classifier, logits_of = network.make_encoder(
    data_shape, outputs={'logits': (num_classes,)}, **options
  )

  def init(key: Key) -> Params:
    model_key, classifier_key = jax.random.split(key)
    own = {'classifier': init_classifier(classifier_key)}
    return model.init(model_key) | own

  def classify(params: Params, x: Array) -> Categorical:
    logits = logits_of(params['classifier'], encoder_input(x))['logits']
    return Categorical(logits)

  return SemiSupervisedVAE(
    quick_jit(init), *model[1:], classify=classify, num_classes=num_classes
  )
