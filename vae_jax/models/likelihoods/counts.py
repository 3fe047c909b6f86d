"""Likelihoods of counts, with an optional observed size factor.

`size_factor='none'`: the mean of x_j is exp(output_j).

`size_factor='total'`: it is s softmax(output)_j, with s = sum_j x_j of the
example itself. s is a covariate, observed beside z, as the library size of
scVI: every log p(x) is then log p(x | s), the density at the given s, summed
over all x and not only over those of that total. It is not comparable with
the log p(x) of a model without size factor, which must also predict s.

The encoder sees log(1 + x), because counts spread over orders of magnitude.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions import (
  Distribution,
  NegativeBinomial,
  Poisson,
  ZeroInflatedNegativeBinomial,
)
from vae_jax.errors import lookup
from vae_jax.models.likelihoods.head import Head, Mean
from vae_jax.models.straight_through import clip_straight_through
from vae_jax.types import Array, Key, Params

# Share of extra zeros at the start.
_ZEROS = 0.05
# Least mean of a count at the start: a count that was always 0 could not learn
# from log 0.
_LEAST_MEAN = 1e-4

# Output of the decoder, and s with a size factor -> log of the mean of x.
_LogMean = Callable[..., Array]


def _log_mean(output: Array) -> Array:
  return clip_straight_through(output)


def _log_mean_of_size(output: Array, size: Array) -> Array:
  log_shares = jax.nn.log_softmax(jnp.ravel(output)).reshape(output.shape)
  # An example without any count has s = 0, and the mean exp(-20) below.
  tiny = jnp.finfo(output.dtype).tiny
  return clip_straight_through(log_shares + jnp.log(jnp.maximum(size, tiny)))


_SIZES: dict[str, tuple[_LogMean, Callable[[Array], Array] | None]] = {
  'none': (_log_mean, None),
  'total': (_log_mean_of_size, jnp.sum),
}
SIZE_FACTORS = tuple(_SIZES)


def _head(
  size_factor: str,
  bias: Any,
  make: Callable[[Params, Array, _LogMean], Distribution],
  init: Callable[[Key], Params] | None = None,
) -> Head:
  """Builds a head from `make(params, output, log_mean)`."""
  log_mean, size = lookup('size_factor', _SIZES, size_factor)
  bias = np.asarray(bias)
  head = Head(
    bias.shape,
    bias,
    lambda params, output, *s: make(params, output, lambda x: log_mean(x, *s)),
    encoder_input=jnp.log1p,
    size=size,
  )
  return head if init is None else head._replace(init=init)


def _start(
  shape: tuple[int, ...], mean: Mean, size_factor: str, zeros: float = 0.0
) -> np.ndarray:
  """Returns the output at which x has this mean, with a share of zeros."""
  if mean is None:
    return np.zeros(shape)
  mean = np.maximum(np.asarray(mean, float), _LEAST_MEAN)
  if size_factor == 'total':
    # Of any x with the shares of the mean example; the size sets the level.
    return np.log(mean) - np.log(np.sum(mean))
  return np.log(mean) - np.log1p(-zeros)


def poisson(shape: tuple[int, ...], mean: Mean, *, size_factor: str) -> Head:
  """p(x|z) = Poisson(mean(z))."""
  bias = _start(shape, mean, size_factor)
  return _head(
    size_factor, bias, lambda _, output, log_mean: Poisson(log_mean(output))
  )


def negative_binomial(
  shape: tuple[int, ...], mean: Mean, *, size_factor: str
) -> Head:
  """p(x|z) = NegativeBinomial(mean(z), r), r learned, one per number of x."""
  bias = _start(shape, mean, size_factor)
  make = lambda params, output, log_mean: NegativeBinomial(
    log_mean(output), clip_straight_through(params['log_dispersion'])
  )
  return _head(size_factor, bias, make, _dispersions(shape))


def zero_inflated_negative_binomial(
  shape: tuple[int, ...], mean: Mean, *, size_factor: str
) -> Head:
  """p(x|z) = ZeroInflatedNegativeBinomial(mean(z), r, logits(z)), r learned."""
  log_mean = _start(shape, mean, size_factor, _ZEROS)
  logits = np.full(shape, np.log(_ZEROS) - np.log1p(-_ZEROS))
  make = lambda params, output, log_mean: ZeroInflatedNegativeBinomial(
    log_mean(output[..., 0]),
    clip_straight_through(params['log_dispersion']),
    output[..., 1],
  )
  bias = np.stack([log_mean, logits], axis=-1)
  return _head(size_factor, bias, make, _dispersions(shape))


def _dispersions(shape: tuple[int, ...]) -> Callable[[Key], Params]:
  """Returns `init` of log r, which starts at r = 1: variance m + m^2."""
  return lambda _: {'log_dispersion': jnp.zeros(shape)}
