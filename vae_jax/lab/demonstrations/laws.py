"""Expectations in float64, from scipy: what the families are held against."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy import stats  # type: ignore[import-untyped]

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

# E_q[exp(-|z|^2)] as a function of the parameters, each a float64 array.
Expectation = Callable[..., float]

_HALF_STEP = 1e-4


class Family(NamedTuple):
  """A law, its parameters and its expectation of exp(-|z|^2)."""

  make: Callable[..., Distribution]
  params: Mapping[str, Any]
  expectation: Expectation


def _integral(law: Callable[..., Any]) -> Expectation:
  """Returns E[f] under a law of scipy, by adaptive quadrature."""

  def expectation(**params: float) -> float:
    frozen = law(**params)
    f = lambda z: math.exp(-z * z)
    # Beyond 8 f is below 1e-27.
    low, high = np.clip(frozen.support(), -8, 8)
    return frozen.expect(f, low, high, epsabs=1e-13, epsrel=1e-12, limit=500)

  return expectation


def _normal_integral(loc: np.ndarray, scale_tril: np.ndarray) -> float:
  """Returns E[exp(-|z|^2)] = exp(-m' M m) |I + 2 S|^-1/2, M = (I + 2 S)^-1."""
  widened = np.eye(len(loc)) + 2 * scale_tril @ scale_tril.T
  exponent = -loc @ np.linalg.solve(widened, loc)
  return float(np.exp(exponent) / np.sqrt(np.linalg.det(widened)))


def _located(law: Any) -> Expectation:
  return _integral(
    lambda loc, log_scale: law(loc=loc, scale=math.exp(log_scale))
  )


_PLACED = {'loc': 0.4, 'log_scale': -0.2}
FAMILIES: Mapping[str, Family] = {
  'Normal': Family(Normal, _PLACED, _located(stats.norm)),
  'Laplace': Family(Laplace, _PLACED, _located(stats.laplace)),
  'Logistic': Family(Logistic, _PLACED, _located(stats.logistic)),
  'Cauchy': Family(Cauchy, _PLACED, _located(stats.cauchy)),
  'Gumbel': Family(Gumbel, _PLACED, _located(stats.gumbel_r)),
  'StudentT': Family(
    StudentT,
    {'df': 3.0, **_PLACED},
    _integral(lambda df, loc, log_scale: stats.t(df, loc, math.exp(log_scale))),
  ),
  'LogNormal': Family(
    LogNormal,
    {'loc': -0.3, 'log_scale': -0.5},
    _integral(
      lambda loc, log_scale: stats.lognorm(
        s=math.exp(log_scale), scale=math.exp(loc)
      )
    ),
  ),
  'Exponential': Family(
    Exponential,
    {'log_rate': 0.3},
    _integral(lambda log_rate: stats.expon(scale=math.exp(-log_rate))),
  ),
  'Rayleigh': Family(
    Rayleigh,
    {'log_scale': -0.3},
    _integral(lambda log_scale: stats.rayleigh(scale=math.exp(log_scale))),
  ),
  'Weibull': Family(
    Weibull,
    {'concentration': 1.5, 'log_scale': -0.2},
    _integral(
      lambda concentration, log_scale: stats.weibull_min(
        concentration, scale=math.exp(log_scale)
      )
    ),
  ),
  'Pareto': Family(
    Pareto,
    {'concentration': 2.5, 'log_scale': -0.7},
    _integral(
      lambda concentration, log_scale: stats.pareto(
        concentration, scale=math.exp(log_scale)
      )
    ),
  ),
  'Uniform': Family(
    Uniform,
    {'low': -0.5, 'high': 1.5},
    _integral(lambda low, high: stats.uniform(low, high - low)),
  ),
  'Gamma': Family(
    Gamma,
    {'concentration': 1.7, 'log_rate': 0.5},
    _integral(
      lambda concentration, log_rate: stats.gamma(
        concentration, scale=math.exp(-log_rate)
      )
    ),
  ),
  'Beta': Family(
    Beta,
    {'concentration1': 0.8, 'concentration0': 2.5},
    _integral(
      lambda concentration1, concentration0: stats.beta(
        concentration1, concentration0
      )
    ),
  ),
  'MultivariateNormal': Family(
    MultivariateNormal,
    {
      'loc': np.array([0.3, -0.4]),
      'scale_tril': np.array([[0.8, 0.0], [0.5, 0.6]]),
    },
    _normal_integral,
  ),
}


def exact_gradient(family: Family) -> dict[str, np.ndarray]:
  """Returns the derivative of E[f] in every parameter, by differences.

  (E(phi + h) - E(phi - h)) / 2h, h = 1e-4: off by about h^2.
  """
  params = {k: np.array(v, np.float64) for k, v in family.params.items()}
  gradient = {name: np.zeros(value.shape) for name, value in params.items()}
  for name, value in params.items():
    for index in np.ndindex(value.shape):
      ends = []
      for sign in (1, -1):
        moved = {k: v.copy() for k, v in params.items()}
        moved[name][index] += sign * _HALF_STEP
        # What is 0-dimensional becomes a number.
        ends.append(family.expectation(**{k: v[()] for k, v in moved.items()}))
      gradient[name][index] = (ends[0] - ends[1]) / (2 * _HALF_STEP)
  return gradient
