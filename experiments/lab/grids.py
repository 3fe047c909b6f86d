"""Extreme parameters and events of every family, as float32 numbers."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

import vae_jax.distributions as vd

Point = tuple[float, ...]


class Grid(NamedTuple):
  """Parameters and events at which a family is evaluated.

  Attributes:
    make: returns the distribution of one point.
    points: parameters.
    events: returns events of one point, numbers or tuples of numbers.
    unit: returns the natural unit of each parameter at one point: a nearly
      equal distribution is a thousandth of it away.
    covers: returns whether p has the support of q.
  """

  make: Callable[..., Any]
  points: Sequence[Point]
  events: Callable[..., Iterable[Any]]
  unit: Callable[..., Any] = lambda *x: 1.0
  covers: Callable[[Point, Point], bool] = lambda q, p: True

  def near(self, q: Point) -> Point:
    """Returns parameters close to those of q."""
    return rounded(np.asarray(q) + np.multiply(1e-3, self.unit(*q)))


def rounded(x: Any) -> Any:
  """Returns the nearest float32 numbers, as Python numbers."""
  with np.errstate(over='ignore', under='ignore'):
    x = np.asarray(x, np.float32)
  return tuple(map(float, x)) if x.ndim else float(x)


def product(*values: Sequence[float]) -> list[Point]:
  """Returns all combinations of float32 parameters."""
  return [rounded(x) for x in itertools.product(*values)]


def _finite(events: Iterable[float]) -> list[float]:
  """Returns the events that are neither infinite nor denormal."""
  z = map(rounded, events)
  return [x for x in z if np.isfinite(x) and (abs(x) > 1.2e-38 or not x)]


def _root(*concentrations: float) -> list[float]:
  return [min(a, np.sqrt(a)) for a in concentrations]


_SCALES = (-75.0, -30.0, 0.3, 30.0, 80.0)
_LOCATED = product((0.0, -2.5, 1e3), _SCALES)
_UNITS = (-1e12, -30.0, -1.0, 1e-3, 0.7, 12.0, 1e25)
_TAILS = (1e-6, 0.3, 4.0, 60.0)


def _located(loc: float, log_scale: float) -> list[float]:
  return _finite(loc + np.exp(log_scale) * e for e in _UNITS)


def _scale(loc: float, log_scale: float) -> tuple[float, float]:
  return np.exp(log_scale), 1.0


def _positive(log_scale: float, power: float = 1.0) -> list[float]:
  return [z for z in _finite(np.exp(log_scale) * e**power for e in _TAILS) if z]


def _of_gamma(a: float, log_rate: float) -> list[float]:
  spread = 1 / np.sqrt(a)
  units = (1, 1 + 3 * spread, max(1 - 2 * spread, 0.01), 1e-20)
  return [z for z in _finite(a * np.exp(-log_rate) * e for e in units) if z]


def _of_beta(a: float, b: float) -> list[float]:
  mean = a / (a + b)
  spread = np.sqrt(a * b / (a + b + 1)) / (a + b)
  z = _finite((mean, mean + 2 * spread, mean - spread, 1e-30, 1 - 2**-24))
  return [x for x in z if 0 < x < 1]


def _of_uniform(low: float, high: float) -> list[float]:
  return _finite((low, 0.5 * low + 0.5 * high, high))


def _bivariate(x: Any, y: Any, a: Any, b: Any, c: Any) -> Any:
  scale = jnp.stack([jnp.stack([a, 0 * c]), jnp.stack([b, c])])
  return vd.MultivariateNormal(jnp.stack([x, y]), scale)


_SIMPLEX = ((0.2, 0.3, 0.5), (1e-30, 1e-6, 1.0), (0.98, 1e-2, 1e-2))
_TEMPERATURES = (0.01, 0.1, 1.0, 10.0)
_LOGITS = product((0.0, -1e4, -90.0, -3.0, -1e-3, 1e-3, 0.5, 20.0, 90.0, 1e4))

GRIDS: Mapping[str, Grid] = {
  'Normal': Grid(vd.Normal, _LOCATED, _located, _scale),
  'Laplace': Grid(vd.Laplace, _LOCATED, _located, _scale),
  'Logistic': Grid(vd.Logistic, _LOCATED, _located, _scale),
  'Cauchy': Grid(vd.Cauchy, _LOCATED, _located, _scale),
  'Gumbel': Grid(vd.Gumbel, _LOCATED, _located, _scale),
  'StudentT': Grid(
    vd.StudentT,
    product((1e-3, 0.1, 0.4, 2.5, 30.0, 1e4, 1e8), (0.0, -2.5), _SCALES[1:4]),
    lambda df, loc, log_scale: _located(loc, log_scale),
  ),
  'LogNormal': Grid(
    vd.LogNormal,
    product((-80.0, 0.0, 40.0), (-75.0, -30.0, -3.0, 0.0, 2.4)),
    lambda loc, log_scale: [
      z
      for e in (-20.0, -1.0, 0.7, 12.0)
      for z in _finite([np.exp(min(loc + np.exp(log_scale) * e, 88.0))])
      if z
    ],
    _scale,
  ),
  'Exponential': Grid(
    vd.Exponential, product(_SCALES), lambda r: _positive(-r)
  ),
  'Weibull': Grid(
    vd.Weibull,
    product((1e-2, 0.3, 1.0, 30.0, 1e3, 1e5), (-30.0, 0.0, 30.0)),
    lambda k, log_scale: _positive(log_scale, 1 / k),
    lambda k, log_scale: (k, 1 / k),
  ),
  'Rayleigh': Grid(vd.Rayleigh, product(_SCALES), _positive),
  'Pareto': Grid(
    vd.Pareto,
    product((1e-2, 0.4, 1.5, 2.2, 30.0, 1e5), (-30.0, 0.0, 30.0)),
    lambda a, log_scale: _finite(
      np.exp(log_scale) * e for e in (1.001, 1.7, 1e8)
    ),
    lambda a, log_scale: (a, -1 / a),
    lambda q, p: q[1] >= p[1],
  ),
  'Uniform': Grid(
    vd.Uniform,
    [
      *product((0.0, -1e-30), (1.0, 1e-20)),
      *product((-3e38, -1.0), (2.0, 3e38)),
      rounded((1e3, 1000.25)),
    ],
    _of_uniform,
    lambda low, high: (0.3 * low - 0.3 * high, 0.1 * high - 0.1 * low),
    lambda q, p: p[0] <= q[0] and q[1] <= p[1],
  ),
  'Gamma': Grid(
    vd.Gamma,
    product((1e-3, 0.05, 1.0, 30.0, 1e4, 1e7), (-60.0, 0.0, 30.0)),
    _of_gamma,
    lambda a, log_rate: (*_root(a), min(1, 1 / np.sqrt(a))),
  ),
  'Beta': Grid(
    vd.Beta, product(*2 * [(3e-5, 0.1, 1.0, 30.0, 1e3, 1e7)]), _of_beta, _root
  ),
  'ContinuousBernoulli': Grid(
    vd.ContinuousBernoulli,
    _LOGITS,
    lambda x: _finite((0, 1e-3, 0.5, 1 - 2**-20, 1)),
  ),
  'Bernoulli': Grid(vd.Bernoulli, _LOGITS, lambda x: (0.0, 1.0)),
  'Categorical': Grid(
    lambda *x: vd.Categorical(jnp.stack(x)),
    product((0.0, -90.0, 3.0), (1.0, 1e4), (-3.0, 1.5)),
    lambda *x: (0.0, 1.0, 2.0),
    lambda *x: (1.0, -1.0, 0.0),
  ),
  'DiscretisedLogistic': Grid(
    vd.DiscretisedLogistic,
    product((-0.1, 0.0, 0.3, 1.2), (-90.0, -9.0, -3.0, 0.0, 30.0, 85.0)),
    lambda loc, log_scale: rounded([k / 255 for k in (0, 3, 76, 255)]),
    _scale,
  ),
  'RelaxedBernoulli': Grid(
    vd.RelaxedBernoulli,
    product(_TEMPERATURES, (-90.0, 0.0, 5.0)),
    lambda t, x: _finite((1e-30, 0.01, 0.5, 1 - 2**-20)),
  ),
  'RelaxedCategorical': Grid(
    lambda t, *x: vd.RelaxedCategorical(t, jnp.stack(x)),
    product(_TEMPERATURES, (0.0, -90.0), (3.0,), (1.0,)),
    lambda t, *x: map(rounded, _SIMPLEX),
  ),
  'MultivariateNormal': Grid(
    _bivariate,
    product((0.0, 1e3), (0.5,), (1e-3, 1e6), (-0.3, 2.0), (1e-3, 1e6)),
    lambda x, y, a, b, c: [
      rounded((x + u * a, y + u * b + v * c))
      for u, v in ((0.3, -1.0), (10.0, 3.0))
    ],
    lambda x, y, a, b, c: (a, c, a, c, c),
  ),
}
