"""The continuous families with independent coordinates, beside scipy's laws."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special, stats

import vae_jax.distributions as vd


class _Concrete(stats.rv_continuous):
  """The law of sigmoid((logits + eps) / temperature), eps logistic."""

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
  """The law on [0, 1] of density proportional to exp(logits z)."""

  # Counted from the likelier end, where nothing overflows.

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


def _located(law):
  return lambda loc, log_scale: law(loc, np.exp(log_scale))


# Of the parameters in the order of the fields.
_LAWS = {
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

_LOC = [0.0, 1.0, -3.0, 0.5]
_LOG_SCALE = [0.0, -2.3, 1.6, 0.3]

# An event of four coordinates each; some of them without mean or variance.
FAMILIES = {
  family.__name__: family(*map(jnp.array, parameters))
  for family, *parameters in [
    (vd.Normal, _LOC, _LOG_SCALE),
    (vd.Laplace, _LOC, _LOG_SCALE),
    (vd.Logistic, _LOC, _LOG_SCALE),
    (vd.Cauchy, _LOC, _LOG_SCALE),
    (vd.Gumbel, _LOC, _LOG_SCALE),
    (vd.StudentT, [5.0, 2.5, 1.5, 0.9], _LOC, _LOG_SCALE),
    (vd.Exponential, _LOG_SCALE),
    (vd.Weibull, [0.8, 1.5, 3.0, 1.0], _LOG_SCALE),
    (vd.Rayleigh, _LOG_SCALE),
    (vd.Pareto, [4.0, 2.5, 1.5, 0.9], _LOG_SCALE),
    (vd.LogNormal, _LOC, [0.0, -2.3, -0.5, 0.3]),
    (vd.Uniform, [-1.0, 0.0, 2.0, -3.0], [1.0, 0.5, 7.0, 4.0]),
    (vd.RelaxedBernoulli, [0.7, 1.0, 2.0, 1.5], [-1.5, 0.0, 0.8, 1.0]),
    (vd.ContinuousBernoulli, [0.0, -3.0, 0.05, 6.0]),
    (vd.Gamma, [0.5, 1.0, 2.5, 8.0], _LOG_SCALE),
    (vd.Beta, [0.8, 2.0, 3.5, 1.0], [1.5, 2.5, 1.0, 4.0]),
  ]
}

# Draws of these stay below 1e38, but round to an end of the support.
EXTREMES = {
  family.__name__: family(*map(jnp.array, parameters))
  for family, *parameters in [
    (vd.Weibull, [0.1, 0.1, 1.0, 1e3], [-30.0, 30.0, -30.0, 30.0]),
    (vd.Rayleigh, [-30.0, 0.0, 10.0, 30.0]),
    (vd.Pareto, [0.4, 0.4, 1.0, 1e3], [-30.0, 30.0, -30.0, 30.0]),
    (vd.LogNormal, [-30.0, 0.0, 0.0, 30.0], [0.0, -30.0, 0.0, 0.0]),
    (vd.Uniform, [-1e6, -1e6, -1e-6, 0.0], [1e-6, 1e6, 1e6, 1.0]),
    (vd.RelaxedBernoulli, [0.1, 0.1, 1.0, 10.0], [-90.0, 90.0, -90.0, 90.0]),
    (vd.ContinuousBernoulli, [-1e4, -90.0, 90.0, 1e4]),
    (vd.Gamma, [0.05, 0.05, 1.0, 1e3], [-30.0, 30.0, -30.0, 30.0]),
    (vd.Beta, [0.05, 0.05, 1e3, 1.0], [0.05, 1e3, 0.05, 1.0]),
  ]
}

# Differentiated implicitly: no noise, no transform. Last of all, so that the
# tests of a family may run one after another.
IMPLICIT = ('Gamma', 'Beta')
REPARAMETERISED = [name for name in FAMILIES if name not in IMPLICIT]


def law_of(family, parameters):
  """Returns scipy's law, its parameters in float64."""
  return _LAWS[family](*(np.asarray(x, np.float64) for x in parameters))


def law(q):
  """Returns scipy's law of the coordinates of `q`."""
  return law_of(type(q), jax.tree.leaves(q))


def nodes(law, count=20_001):
  """Returns `[count, *event]` points that cover all but 1e-7 of the mass.

  They crowd where mass does: geometrically towards an end of the support and
  away into a tail, however heavy.
  """
  low, high = law.support()
  width = law.ppf(0.75) - law.ppf(0.25)
  t = np.linspace(-1.0, 1.0, count)[:, None]
  line = law.median() + width * np.sinh(20 * t)
  if np.isinf(low).all():
    return line
  if np.isinf(high).all():
    return low + width * np.exp(32 * t - 5)
  return low + (high - low) * special.expit(30 * t)


def expectation(law, f):
  """Returns E[f(z)] of each coordinate, by quadrature in float64."""
  z = nodes(law)
  # Far out, where no mass is, exp overflows and f may be infinite or nan.
  with np.errstate(all='ignore'):
    mass = np.diff(law.cdf(z), axis=0)
    values = f(z)
    terms = 0.5 * mass * (values[1:] + values[:-1])
  return np.sum(np.where(mass > 1e-100, terms, 0.0), axis=0)


def directional(value, parameters, directions, step=1e-4):
  """Returns the derivative of `value(parameters)`, by central difference."""
  move = lambda h: value(
    [x + h * d for x, d in zip(parameters, directions, strict=True)]
  )
  return (move(step) - move(-step)) / (2 * step)


class Noise(NamedTuple):
  """Noise of the family and what comes of it, each `[N, *event]`."""

  eps: np.ndarray
  transformed: np.ndarray
  inverse: np.ndarray
  mirrored: np.ndarray
  mirrored_twice: np.ndarray


class Simulation(NamedTuple):
  """Draws, and what the tests ask of them; leaves have a leading axis `[N]`.

  Attributes:
    draws: by `reparameterise`.
    slopes: of the sum over the event of arctan(draw), a pytree like q.
    log_probs: of the draws.
    log_prob_slopes: of that, through draw and density, a pytree like q.
    noise: None where the family has none.
  """

  draws: np.ndarray
  slopes: Any
  log_probs: np.ndarray
  log_prob_slopes: Any
  noise: Noise | None


@jax.jit
@functools.partial(jax.vmap, in_axes=(None, 0, 0))
def _simulate(q, draw_key, noise_key):
  z, pull = jax.vjp(lambda q: vd.reparameterise(draw_key, q), q)
  density = jax.value_and_grad(lambda q, z: q.log_prob(z), (0, 1))
  log_prob, (direct, slope) = density(q, z)
  # Once for both: the derivative of a Gamma draw takes seconds to compile.
  pulled = jax.vmap(pull)(jnp.stack([1 / (1 + z**2), slope]))[0]
  return Simulation(
    draws=z,
    slopes=jax.tree.map(lambda x: x[0], pulled),
    log_probs=log_prob,
    log_prob_slopes=jax.tree.map(lambda x, y: x + y[1], direct, pulled),
    noise=None if type(q).__name__ in IMPLICIT else _noise(q, noise_key),
  )


def _noise(q, key):
  eps = q.noise(key)
  mirrored = q.mirror(eps)
  return Noise(
    eps=eps,
    transformed=q.transform(eps),
    inverse=q.inverse(q.transform(eps)),
    mirrored=q.transform(mirrored),
    mirrored_twice=q.transform(q.mirror(mirrored)),
  )


def simulate(q, key, num_samples=20_000):
  """Returns the `Simulation` of q, compiled once a family."""
  keys = jax.random.split(key, (2, num_samples))
  return jax.tree.map(np.asarray, _simulate(q, *keys))
