"""Reference distributions of scipy, and exact gradients by quadrature."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from vae_jax.distributions import (
  Beta,
  Cauchy,
  Distribution,
  Exponential,
  Gamma,
  Gumbel,
  Laplace,
  Logistic,
  LogNormal,
  MultivariateNormal,
  Normal,
  Pareto,
  Rayleigh,
  StudentT,
  Uniform,
  Weibull,
)

_HALF_STEP = 1e-4


def _tanh_sinh_rule() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  t = np.arange(-3.4, 3.4, 0.01)
  inner = 0.5 * np.pi * np.sinh(t)
  # Distance to the nearer end of [0, 1], so that neither tail is rounded.
  tail = 1 / (1 + np.exp(2 * np.abs(inner)))
  weights = 0.25 * np.pi * np.cosh(t) / np.cosh(inner) ** 2 * 0.01
  return tail, inner > 0, weights


_TAIL, _IS_UPPER, _WEIGHTS = _tanh_sinh_rule()


def _location_scale(kind: Any) -> Callable[..., Any]:
  return lambda loc, log_scale: kind(loc, np.exp(log_scale))


# Family -> scipy distribution of the same parameters, in field order.
SCIPY: Mapping[type[Distribution], Callable[..., Any]] = {
  Normal: _location_scale(stats.norm),
  Laplace: _location_scale(stats.laplace),
  Logistic: _location_scale(stats.logistic),
  Cauchy: _location_scale(stats.cauchy),
  Gumbel: _location_scale(stats.gumbel_r),
  StudentT: lambda df, loc, log_scale: stats.t(df, loc, np.exp(log_scale)),
  LogNormal: lambda loc, log_scale: stats.lognorm(
    np.exp(log_scale), scale=np.exp(loc)
  ),
  Exponential: lambda log_rate: stats.expon(scale=np.exp(-log_rate)),
  Rayleigh: lambda log_scale: stats.rayleigh(scale=np.exp(log_scale)),
  Weibull: lambda concentration, log_scale: stats.weibull_min(
    concentration, scale=np.exp(log_scale)
  ),
  Pareto: lambda concentration, log_scale: stats.pareto(
    concentration, scale=np.exp(log_scale)
  ),
  Uniform: lambda low, high: stats.uniform(low, high - low),
  Gamma: lambda concentration, log_rate: stats.gamma(
    concentration, scale=np.exp(-log_rate)
  ),
  Beta: lambda concentration1, concentration0: stats.beta(
    concentration1, concentration0
  ),
}


class Family(NamedTuple):
  """A family of distributions at one point of its parameter space.

  Attributes:
    make: class of the family.
    params: parameters by name.
  """

  make: type[Distribution]
  params: Mapping[str, Any]


_LOCATED = {'loc': 0.4, 'log_scale': -0.2}
FAMILIES: Mapping[str, Family] = {
  family.make.__name__: family
  for family in (
    Family(Normal, _LOCATED),
    Family(Laplace, _LOCATED),
    Family(Logistic, _LOCATED),
    Family(Cauchy, _LOCATED),
    Family(Gumbel, _LOCATED),
    Family(StudentT, {'df': 3.0, **_LOCATED}),
    Family(LogNormal, {'loc': -0.3, 'log_scale': -0.5}),
    Family(Exponential, {'log_rate': 0.3}),
    Family(Rayleigh, {'log_scale': -0.3}),
    Family(Weibull, {'concentration': 1.5, 'log_scale': -0.2}),
    Family(Pareto, {'concentration': 2.5, 'log_scale': -0.7}),
    Family(Uniform, {'low': -0.5, 'high': 1.5}),
    Family(Gamma, {'concentration': 1.7, 'log_rate': 0.5}),
    Family(Beta, {'concentration1': 0.8, 'concentration0': 2.5}),
    Family(
      MultivariateNormal,
      {
        'loc': np.array([0.3, -0.4]),
        'scale_tril': np.array([[0.8, 0.0], [0.5, 0.6]]),
      },
    ),
  )
}


def expectation(q: Any, f: Callable[[np.ndarray], Any]) -> float:
  """Returns E[f(z)] under a scipy distribution of one variable, in float64.

  E[f(z)] = int_0^1 f(F^-1(u)) du, by tanh-sinh quadrature.

  References:
    Takahasi and Mori 1974, Double Exponential Formulas for Numerical
    Integration.
  """
  z = np.where(_IS_UPPER, q.isf(_TAIL), q.ppf(_TAIL))
  with np.errstate(over='ignore'):
    return float(np.sum(_WEIGHTS * np.asarray(f(z))))


def _expectation_of_bump(
  make: type[Distribution], params: Mapping[str, Any]
) -> float:
  """Returns E[exp(-|z|^2)].

  The multivariate normal has the closed form
  exp(-m' M m) |I + 2 S|^-1/2 with M = (I + 2 S)^-1 and S = C C'.
  """
  if make is MultivariateNormal:
    loc, scale_tril = params['loc'], params['scale_tril']
    widened = np.eye(len(loc)) + 2 * scale_tril @ scale_tril.T
    exponent = -loc @ np.linalg.solve(widened, loc)
    return float(np.exp(exponent) / np.sqrt(np.linalg.det(widened)))
  return expectation(SCIPY[make](**params), lambda z: np.exp(-(z**2)))


def exact_gradient(family: Family) -> dict[str, np.ndarray]:
  """Returns the gradient of E[exp(-|z|^2)] by central differences.

  (E(phi + h) - E(phi - h)) / 2h with h = 1e-4 has an error of order h^2.
  """
  params = {k: np.array(v, np.float64) for k, v in family.params.items()}
  gradient = {name: np.zeros(value.shape) for name, value in params.items()}
  for name, value in params.items():
    for index in np.ndindex(value.shape):
      ends = []
      for sign in (1, -1):
        moved = {k: v.copy() for k, v in params.items()}
        moved[name][index] += sign * _HALF_STEP
        # `[()]` turns 0-dimensional arrays into scalars.
        scalars = {k: v[()] for k, v in moved.items()}
        ends.append(_expectation_of_bump(family.make, scalars))
      gradient[name][index] = (ends[0] - ends[1]) / (2 * _HALF_STEP)
  return gradient
