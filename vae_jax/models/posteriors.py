"""Posterior families: how the outputs of an encoder parameterise q(z|x)."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.distributions import (
  AffineCoupling,
  Bernoulli,
  Beta,
  Categorical,
  Distribution,
  Gamma,
  Laplace,
  Logistic,
  LowRankNormal,
  MaskedAutoregressive,
  MultivariateNormal,
  Normal,
  StudentT,
)
from vae_jax.models.flow_posteriors import flow_head
from vae_jax.models.posterior_head import PosteriorHead
from vae_jax.models.straight_through import clip_straight_through
from vae_jax.types import Array, Params

__all__ = ('POSTERIORS', 'Posterior', 'PosteriorHead')

# Logs of concentrations: the densities are exact in float32 up to exp(18), and
# below exp(-6) most draws would be smaller than any float32.
_LEAST, _MOST = -6.0, 18.0
# A factor of U: its square stays a float32 beside the largest scales.
_FACTOR = 1e4


class Posterior(NamedTuple):
  """A row of `POSTERIORS`: a family of q(z|x).

  Attributes:
    words: the family in a sentence; `{option}` stands for an option's value.
    head: `head(size of z, **options) -> PosteriorHead`.
    options: the options of `make_vae` that `head` reads.
  """

  words: str
  head: Callable[..., PosteriorHead]
  options: tuple[str, ...] = ()


def _location_scale(words: str, family: type[Distribution]) -> Posterior:
  """Builds the row of a family with parameters loc and log_scale, `[Z]`."""

  def make(_: Params, outputs: Mapping[str, Array]) -> Distribution:
    log_scale = clip_straight_through(outputs['log_scale'])
    return family(outputs['loc'], log_scale)  # type: ignore[call-arg]

  def head(size: int) -> PosteriorHead:
    return PosteriorHead({'loc': (size,), 'log_scale': (size,)}, make)

  return Posterior(words, head)


def _full_normal(size: int) -> PosteriorHead:
  """N(loc, C C'), C lower triangular with the exp of the output's diagonal."""

  def make(_: Params, outputs: Mapping[str, Array]) -> Distribution:
    output = outputs['scale_tril']
    diagonal = jnp.diag(jnp.exp(clip_straight_through(jnp.diagonal(output))))
    return MultivariateNormal(outputs['loc'], jnp.tril(output, -1) + diagonal)

  return PosteriorHead({'loc': (size,), 'scale_tril': (size, size)}, make)


def _bernoulli(size: int) -> PosteriorHead:
  """Independent bits with the encoder's logits."""
  return PosteriorHead(
    {'logits': (size,)}, lambda _, outputs: Bernoulli(outputs['logits'])
  )


def _low_rank_normal(size: int, *, posterior_rank: int) -> PosteriorHead:
  """N(loc, S (I + V V') S), S the diagonal of scales and V of r columns."""

  def make(_: Params, outputs: Mapping[str, Array]) -> Distribution:
    log_scale = clip_straight_through(outputs['log_scale'])
    v = clip_straight_through(outputs['factor'], -_FACTOR, _FACTOR)
    factor = jnp.exp(log_scale)[:, None] * v
    return LowRankNormal(outputs['loc'], log_scale, factor)

  shapes = {
    'loc': (size,),
    'log_scale': (size,),
    'factor': (size, posterior_rank),
  }
  return PosteriorHead(shapes, make)


def _student_t(size: int, *, posterior_df: float) -> PosteriorHead:
  """Student's t of the given degrees of freedom, which are not learned."""

  def make(_: Params, outputs: Mapping[str, Array]) -> Distribution:
    log_scale = clip_straight_through(outputs['log_scale'])
    df = jnp.asarray(posterior_df, log_scale.dtype)
    return StudentT(df, outputs['loc'], log_scale)

  return PosteriorHead({'loc': (size,), 'log_scale': (size,)}, make)


def _concentration(output: Array) -> Array:
  return jnp.exp(clip_straight_through(output, _LEAST, _MOST))


def _gamma(size: int) -> PosteriorHead:
  """Independent gammas; the outputs are logs of concentration and rate."""

  def make(_: Params, outputs: Mapping[str, Array]) -> Distribution:
    concentration = _concentration(outputs['log_concentration'])
    return Gamma(concentration, clip_straight_through(outputs['log_rate']))

  names = ('log_concentration', 'log_rate')
  return PosteriorHead(dict.fromkeys(names, (size,)), make)


def _beta(size: int) -> PosteriorHead:
  """Independent betas; the outputs are logs of both concentrations."""
  names = ('log_concentration1', 'log_concentration0')

  def make(_: Params, outputs: Mapping[str, Array]) -> Distribution:
    return Beta(*(_concentration(outputs[name]) for name in names))

  return PosteriorHead(dict.fromkeys(names, (size,)), make)


def _categorical(size: int, *, num_categories: int) -> PosteriorHead:
  """Independent labels 0 to K - 1, which the decoder sees one-hot, `[Z K]`.

  It also takes a z, `[Z, K]`, that is one-hot already, or relaxed.
  """
  dtype = jnp.result_type(float)

  def features(z: Array) -> Array:
    if jnp.shape(z) == (size, num_categories):
      return jnp.ravel(z)
    return jnp.ravel(jax.nn.one_hot(z, num_categories, dtype=dtype))

  return PosteriorHead(
    {'logits': (size, num_categories)},
    lambda _, outputs: Categorical(outputs['logits']),
    features=features,
    num_features=size * num_categories,
  )


POSTERIORS = {
  'normal': _location_scale('normal', Normal),
  'full_normal': Posterior('normal with full covariance', _full_normal),
  'low_rank_normal': Posterior(
    'normal with a covariance of diagonal plus rank {posterior_rank}',
    _low_rank_normal,
    options=('posterior_rank',),
  ),
  'laplace': _location_scale('laplace', Laplace),
  'logistic': _location_scale('logistic', Logistic),
  'student_t': Posterior(
    "Student's t of {posterior_df:g} degrees of freedom",
    _student_t,
    options=('posterior_df',),
  ),
  'gamma': Posterior('gamma', _gamma),
  'beta': Posterior('beta', _beta),
  'iaf': Posterior(
    'normal through {posterior_depth} inverse autoregressive steps; log q of a '
    'given z costs {latent_dim} passes, as in stl and dreg, and of a draw one',
    flow_head(MaskedAutoregressive),
    options=('posterior_depth', 'posterior_width'),
  ),
  'realnvp': Posterior(
    'normal through {posterior_depth} affine couplings',
    flow_head(AffineCoupling),
    options=('posterior_depth', 'posterior_width'),
  ),
  'bernoulli': Posterior('bernoulli', _bernoulli),
  'categorical': Posterior(
    'categorical of {num_categories} labels per dimension',
    _categorical,
    options=('num_categories',),
  ),
}
