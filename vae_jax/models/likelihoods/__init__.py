"""Likelihood families: how the output of a decoder parameterises p(x|z)."""

from vae_jax.models.likelihoods import bernoulli, counts, normal, pixels
from vae_jax.models.likelihoods.counts import SIZE_FACTORS
from vae_jax.models.likelihoods.head import Head, Likelihood, Mean
from vae_jax.models.supports import BINARY, COUNTS, PIXELS, REALS, UNIT

__all__ = ('LIKELIHOODS', 'SIZE_FACTORS', 'Head', 'Likelihood', 'Mean')

LIKELIHOODS = {
  'bernoulli': Likelihood('bernoulli', BINARY, bernoulli.bernoulli),
  'continuous_bernoulli': Likelihood(
    'continuous Bernoulli', UNIT, bernoulli.continuous_bernoulli
  ),
  'normal': Likelihood(
    'normal (sigma learned)', REALS, normal.normal, statistics=('data_scale',)
  ),
  'normal_fixed': Likelihood(
    'normal (sigma = {sigma:g})', REALS, normal.normal_fixed, options=('sigma',)
  ),
  'normal_optimal': Likelihood(
    'normal (sigma optimal for each batch, in closed form)',
    REALS,
    normal.normal_optimal,
    fits_sigma=True,
  ),
  'discretised_logistic': Likelihood(
    'discretised logistic', PIXELS, pixels.discretised_logistic
  ),
  'categorical': Likelihood(
    'categorical over 256 levels', PIXELS, pixels.categorical
  ),
  'discretised_logistic_mixture': Likelihood(
    'mixture of {num_mixtures} discretised logistics per pixel',
    PIXELS,
    pixels.discretised_logistic_mixture,
    options=('num_mixtures',),
  ),
  'poisson': Likelihood(
    'Poisson (size factor: {size_factor})',
    COUNTS,
    counts.poisson,
    options=('size_factor',),
  ),
  'negative_binomial': Likelihood(
    'negative binomial (dispersions learned, size factor: {size_factor})',
    COUNTS,
    counts.negative_binomial,
    options=('size_factor',),
  ),
  'zero_inflated_negative_binomial': Likelihood(
    'zero-inflated negative binomial (dispersions learned, size factor: '
    '{size_factor})',
    COUNTS,
    counts.zero_inflated_negative_binomial,
    options=('size_factor',),
  ),
}
