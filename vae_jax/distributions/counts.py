"""Distributions over counts, x in {0, 1, 2, ...}.

`log_prob` is -inf at numbers that are negative or not whole. Values and
gradients are right in float32 for counts to 1e6 and dispersions from 1e-3 to
beyond 1e8: see `_count_masses`.
"""

import jax
import jax.numpy as jnp

from vae_jax.distributions._count_masses import (
  negative_binomial_log_mass,
  poisson_log_mass,
  zero_inflated,
)
from vae_jax.distributions._gamma_draws import log_gamma_ratio
from vae_jax.distributions._numerics import (
  event_sum,
  nan_where,
  restrict_to_support,
)
from vae_jax.distributions.base import Elementwise, check_event, distribution
from vae_jax.types import Array, ArrayLike, Key

# Mean above which a Poisson is drawn as a normal.
_MOST_RATE = 1e9


class _Counts(Elementwise):
  """Independent counts, sampled but not reparameterised."""

  pathwise_parameters = ()

  def log_prob(self, z: Array) -> Array:
    check_event('x', z, self)
    # Flat: XLA's CPU code is slow where the last axis has size 1.
    x = jnp.ravel(jnp.asarray(z)).astype(self.dtype)
    inside = (x >= 0) & (x == jnp.floor(x)) & jnp.isfinite(x)
    log_mass = self._log_mass(jnp.where(inside, x, 0))
    return event_sum(restrict_to_support(inside, log_mass, x))

  def _log_mass(self, x: Array) -> Array:
    """Returns the log-probability of each of the flat counts x."""
    raise NotImplementedError

  def _full(self, value: ArrayLike) -> Array:
    return jnp.broadcast_to(jnp.asarray(value, self.dtype), self.shape)

  def _flat(self, value: ArrayLike) -> Array:
    return jnp.ravel(self._full(value))


@distribution
class Poisson(_Counts):
  """Independent counts x_i with the mean and variance exp(log_rate_i).

  log p(x) = sum_i x_i log_rate_i - exp(log_rate_i) - log x_i!

  Args:
    log_rate: log of the mean, of the event's shape.

  Examples:
    >>> print(f'{vj.Poisson(0.0).log_prob(0):.3f}')
    -1.000
  """

  log_rate: ArrayLike

  def sample(self, key: Key) -> Array:
    return _draw_poisson(key, self.mean())

  def _log_mass(self, x: Array) -> Array:
    return poisson_log_mass(self._flat(self.log_rate), x)

  def mean(self) -> Array:
    return jnp.exp(self._full(self.log_rate))

  def variance(self) -> Array:
    return self.mean()


@distribution
class NegativeBinomial(_Counts):
  """Independent counts of mean m and variance m + m^2 / r.

  p(x) = Gamma(x + r) / (Gamma(r) x!) (r / (r + m))^r (m / (r + m))^x

  It is a Poisson whose mean has the distribution Gamma(r, rate r / m), and
  tends to Poisson(m) as r increases: r = exp(log_dispersion) is the inverse of
  the overdispersion.

  Args:
    log_mean: log m, of the event's shape or `[]`.
    log_dispersion: log r, of the event's shape or `[]`.

  References:
    Lopez et al. 2018, Deep Generative Modeling for Single-cell Transcriptomics,
    appendix; Robinson and Smyth 2008, Small-sample Estimation of Negative
    Binomial Dispersion.

  Examples:
    >>> print(vj.NegativeBinomial(0.0, 0.0).variance())  # m + m^2 / r
    2.0
  """

  log_mean: ArrayLike
  log_dispersion: ArrayLike

  def sample(self, key: Key) -> Array:
    gamma_key, poisson_key = jax.random.split(key)
    r = jnp.exp(self._full(self.log_dispersion))
    # log of Gamma(r) / r, also where the Gamma underflows.
    rate = self.mean() * jnp.exp(log_gamma_ratio(gamma_key, r))
    return _draw_poisson(poisson_key, rate)

  def _log_mass(self, x: Array) -> Array:
    log_mean, log_r = map(self._flat, (self.log_mean, self.log_dispersion))
    return negative_binomial_log_mass(log_mean, log_r, x)

  def mean(self) -> Array:
    return jnp.exp(self._full(self.log_mean))

  def variance(self) -> Array:
    m = self.mean()
    return m + m * m * jnp.exp(-self._full(self.log_dispersion))


@distribution
class ZeroInflatedNegativeBinomial(_Counts):
  """Negative binomials, each replaced by 0 with probability sigmoid(logits).

  p(x) = w [x = 0] + (1 - w) NegativeBinomial(x), w = sigmoid(logits)

  Args:
    log_mean: log of the mean m of the negative binomial, of the event's shape
      or `[]`; the mean of x is (1 - w) m.
    log_dispersion: log r, of the event's shape or `[]`.
    logits: log-odds of an extra zero, of the event's shape or `[]`.

  References:
    Lopez et al. 2018, Deep Generative Modeling for Single-cell Transcriptomics,
    online methods.
  """

  log_mean: ArrayLike
  log_dispersion: ArrayLike
  logits: ArrayLike

  def sample(self, key: Key) -> Array:
    zero_key, count_key = jax.random.split(key)
    w, counts = self._zeros, self._counts.sample(count_key)
    is_zero = jax.random.bernoulli(zero_key, w, self.shape)
    invalid = jnp.isnan(w) | jnp.isnan(counts)
    return nan_where(invalid, jnp.where(is_zero, 0, counts))

  def _log_mass(self, x: Array) -> Array:
    log_mean, log_r = map(self._flat, (self.log_mean, self.log_dispersion))
    log_mass = negative_binomial_log_mass(log_mean, log_r, x)
    return zero_inflated(self._flat(self.logits), log_mass, x)

  def mean(self) -> Array:
    return (1 - self._zeros) * self._counts.mean()

  def variance(self) -> Array:
    w, m = self._zeros, self._counts.mean()
    return (1 - w) * (self._counts.variance() + w * m * m)

  @property
  def _zeros(self) -> Array:
    return jax.nn.sigmoid(self._full(self.logits))

  @property
  def _counts(self) -> NegativeBinomial:
    shaped = map(self._full, (self.log_mean, self.log_dispersion))
    return NegativeBinomial(*shaped)


def _draw_poisson(key: Key, rate: Array) -> Array:
  count_key, normal_key = jax.random.split(key)
  counts = jax.random.poisson(count_key, jnp.minimum(rate, _MOST_RATE))
  # Integers end at 2e9, far below which a Poisson is normal to float32.
  n = jax.random.normal(normal_key, rate.shape, rate.dtype)
  many = jnp.round(rate * (1 + n * jax.lax.rsqrt(rate)))
  draw = jnp.where(rate > _MOST_RATE, many, counts.astype(rate.dtype))
  return nan_where(jnp.isnan(rate), draw)
