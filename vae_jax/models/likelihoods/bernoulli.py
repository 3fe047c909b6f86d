"""Bernoulli likelihoods: of zeros and ones, and of numbers in [0, 1]."""

import numpy as np

from vae_jax.distributions import Bernoulli, ContinuousBernoulli
from vae_jax.models.likelihoods.head import Head, Mean


def bernoulli(shape: tuple[int, ...], mean: Mean) -> Head:
  """p(x|z) = Bernoulli(logits(z)), x in {0, 1}."""
  bias = 0.0 if mean is None else _logit(mean)
  return Head(shape, bias, lambda _, logits: Bernoulli(logits))


def continuous_bernoulli(shape: tuple[int, ...], mean: Mean) -> Head:
  """p(x|z) = ContinuousBernoulli(logits(z)), x in [0, 1]."""
  bias = 0.0 if mean is None else _continuous_logit(mean)
  return Head(shape, bias, lambda _, logits: ContinuousBernoulli(logits))


def _logit(mean: np.ndarray) -> np.ndarray:
  # A pixel that is always off would start at -inf and never learn.
  mean = np.clip(mean, 0.001, 0.999)
  return np.log(mean) - np.log1p(-mean)


def _continuous_logit(mean: np.ndarray) -> np.ndarray:
  """Returns logits at which the continuous Bernoulli has this mean."""
  # The mean increases with the logit and its inverse has no closed form: a
  # table, which ends at means 0.01 and 0.99 so that every pixel can learn.
  logits = np.sinh(np.linspace(-5.3, 5.3, 2001))
  return np.interp(mean, ContinuousBernoulli(logits).mean(), logits)
