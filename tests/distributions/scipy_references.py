"""The scipy distribution of each elementwise family, in float64."""

import jax
import numpy as np
from scipy import special, stats

import vae_jax.distributions as vd


class _Concrete(stats.rv_continuous):
  """Distribution of sigmoid((logits + eps) / temperature), eps logistic."""

  def _cdf(self, z, temperature, logits):
    return stats.logistic.cdf(temperature * special.logit(z) - logits)

  def _ppf(self, u, temperature, logits):
    return special.expit((logits + stats.logistic.ppf(u)) / temperature)

  def _logpdf(self, z, temperature, logits):
    eps = temperature * special.logit(z) - logits
    slope = np.log(temperature) - np.log(z) - np.log1p(-z)
    return stats.logistic.logpdf(eps) + slope

  def _argcheck(self, temperature, logits):
    return (temperature > 0) & np.isfinite(logits)


_concrete = _Concrete(a=0.0, b=1.0, name='concrete')


class _ContinuousBernoulli(stats.rv_continuous):
  """Distribution on [0, 1] with a density proportional to exp(logits z)."""

  # Measured from the likelier end, where nothing overflows.

  def _fold(self, z, logits):
    a = np.maximum(np.abs(logits), 1e-6)
    return np.where(logits > 0, 1 - z, z), a

  def _cdf(self, z, logits):
    d, a = self._fold(z, logits)
    below = np.expm1(-a * d) / np.expm1(-a)
    return np.where(logits > 0, 1 - below, below)

  def _ppf(self, u, logits):
    u, a = self._fold(u, logits)
    d = -np.log1p(u * np.expm1(-a)) / a
    return np.where(logits > 0, 1 - d, d)

  def _logpdf(self, z, logits):
    d, a = self._fold(z, logits)
    return np.log(a) - np.log(-np.expm1(-a)) - a * d

  def _pdf(self, z, logits):
    return np.exp(self._logpdf(z, logits))

  def _argcheck(self, logits):
    return np.isfinite(logits)


_continuous_bernoulli = _ContinuousBernoulli(a=0.0, b=1.0, name='continuous')


def _located(reference):
  return lambda loc, log_scale: reference(loc, np.exp(log_scale))


# Arguments are the parameters in the order of the fields.
_REFERENCES = {
  vd.Normal: _located(stats.norm),
  vd.Laplace: _located(stats.laplace),
  vd.Logistic: _located(stats.logistic),
  vd.Cauchy: _located(stats.cauchy),
  vd.Gumbel: _located(stats.gumbel_r),
  vd.StudentT: lambda df, loc, log_scale: stats.t(df, loc, np.exp(log_scale)),
  vd.Exponential: lambda log_rate: stats.expon(scale=np.exp(-log_rate)),
  vd.Weibull: lambda k, log_scale: stats.weibull_min(
    k, scale=np.exp(log_scale)
  ),
  vd.Rayleigh: lambda log_scale: stats.rayleigh(scale=np.exp(log_scale)),
  vd.Pareto: lambda a, log_scale: stats.pareto(a, scale=np.exp(log_scale)),
  vd.LogNormal: lambda loc, log_scale: stats.lognorm(
    np.exp(log_scale), scale=np.exp(loc)
  ),
  vd.Uniform: lambda low, high: stats.uniform(low, high - low),
  vd.Gamma: lambda a, log_rate: stats.gamma(a, scale=np.exp(-log_rate)),
  vd.Beta: stats.beta,
  vd.RelaxedBernoulli: _concrete,
  vd.ContinuousBernoulli: _continuous_bernoulli,
}


def reference_of(family, parameters):
  """Returns the frozen scipy distribution of a class and its parameters."""
  values = (np.asarray(x, np.float64) for x in parameters)
  return _REFERENCES[family](*values)


def reference(q):
  """Returns the frozen scipy distribution of the dimensions of `q`."""
  return reference_of(type(q), jax.tree.leaves(q))
