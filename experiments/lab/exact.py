"""Exact log-densities, entropies, divergences and moments in 60 digits.

Functions of the parameters as numbers of mpmath, in the order of the fields.
"""

from collections.abc import Mapping

from experiments.lab.formulas import (
  EULER,
  Exact,
  beta_entropy,
  beta_kl,
  binary,
  bivariate_kl,
  bivariate_log_prob,
  cauchy_kl,
  continuous_bernoulli_mean,
  continuous_bernoulli_variance,
  discretised_logistic,
  entropy,
  gamma_kl,
  gumbel_kl,
  laplace_kl,
  located,
  log_beta,
  log_peak,
  log_softmax,
  m,
  normal_kl,
  relative_entropy,
  relaxed_bernoulli,
  relaxed_categorical,
  sigmoid,
  softplus,
  student_entropy,
  student_log_prob,
  weibull_kl,
  weibull_log_prob,
  weibull_variance,
)

_HALF_LOG_2_PI = m.log(2 * m.pi) / 2

EXACT: Mapping[str, Exact] = {
  'Normal': located(
    lambda e: -(e**2) / 2 - _HALF_LOG_2_PI,
    m.mpf(1) / 2 + _HALF_LOG_2_PI,
    normal_kl,
    0,
    1,
  ),
  'Laplace': located(
    lambda e: -abs(e) - m.log(2), 1 + m.log(2), laplace_kl, 0, 2
  ),
  'Logistic': located(
    lambda e: -abs(e) - 2 * softplus(-abs(e)), 2, None, 0, m.pi**2 / 3
  ),
  'Cauchy': located(
    lambda e: -m.log(m.pi) - m.log1p(e**2), m.log(4 * m.pi), cauchy_kl
  ),
  'Gumbel': located(
    lambda e: -e - m.exp(-e), 1 + EULER, gumbel_kl, EULER, m.pi**2 / 6
  ),
  'StudentT': {
    'log_prob': student_log_prob,
    'entropy': student_entropy,
  },
  'LogNormal': {
    'log_prob': lambda z, loc, s: (
      -(((m.log(z) - loc) * m.exp(-s)) ** 2) / 2 - s - _HALF_LOG_2_PI - m.log(z)
    ),
    'entropy': lambda loc, s: loc + s + m.mpf(1) / 2 + _HALF_LOG_2_PI,
    'kl': lambda loc_q, s_q, loc_p, s_p: normal_kl(
      s_q - s_p, (loc_q - loc_p) * m.exp(-s_p)
    ),
    'mean': lambda loc, s: m.exp(loc + m.exp(2 * s) / 2),
    'variance': lambda loc, s: (
      m.exp(2 * loc + m.exp(2 * s)) * m.expm1(m.exp(2 * s))
    ),
  },
  'Exponential': {
    'log_prob': lambda z, r: r - m.exp(r) * z,
    'entropy': lambda r: 1 - r,
    'kl': lambda r_q, r_p: r_q - r_p + m.expm1(r_p - r_q),
    'mean': lambda r: m.exp(-r),
    'variance': lambda r: m.exp(-2 * r),
  },
  'Weibull': {
    'log_prob': weibull_log_prob,
    'entropy': lambda k, s: EULER * (1 - 1 / k) - m.log(k) + 1 + s,
    'kl': weibull_kl,
    'mean': lambda k, s: m.exp(s) * m.gamma(1 + 1 / k),
    'variance': weibull_variance,
  },
  'Rayleigh': {
    'log_prob': lambda z, s: m.log(z) - 2 * s - (z * m.exp(-s)) ** 2 / 2,
    'entropy': lambda s: s + 1 + EULER / 2 - m.log(2) / 2,
    'kl': lambda s_q, s_p: m.expm1(2 * (s_q - s_p)) - 2 * (s_q - s_p),
    'mean': lambda s: m.exp(s) * m.sqrt(m.pi / 2),
    'variance': lambda s: m.exp(2 * s) * (2 - m.pi / 2),
  },
  'Pareto': {
    'log_prob': lambda z, a, s: m.log(a) + a * s - (a + 1) * m.log(z),
    'entropy': lambda a, s: 1 + 1 / a - m.log(a) + s,
    'kl': lambda a_q, s_q, a_p, s_p: (
      a_p * (s_q - s_p) + m.log(a_q / a_p) + a_p / a_q - 1
    ),
    'mean': lambda a, s: a * m.exp(s) / (a - 1) if a > 1 else m.inf,
    'variance': lambda a, s: (
      a * m.exp(2 * s) / ((a - 1) ** 2 * (a - 2)) if a > 2 else m.inf
    ),
  },
  'Uniform': {
    'log_prob': lambda z, low, high: -m.log(high - low) + 0 * z,
    'entropy': lambda low, high: m.log(high - low),
    'kl': lambda low_q, high_q, low_p, high_p: m.log(
      (high_p - low_p) / (high_q - low_q)
    ),
    'mean': lambda low, high: (low + high) / 2,
    'variance': lambda low, high: (high - low) ** 2 / 12,
  },
  'Gamma': {
    'log_prob': lambda z, a, r: (
      a * r + (a - 1) * m.log(z) - m.exp(r) * z - m.loggamma(a)
    ),
    'entropy': lambda a, r: a + m.loggamma(a) + (1 - a) * m.digamma(a) - r,
    'kl': gamma_kl,
    'mean': lambda a, r: a * m.exp(-r),
    'variance': lambda a, r: a * m.exp(-2 * r),
  },
  'Beta': {
    'log_prob': lambda z, a, b: (
      (a - 1) * m.log(z) + (b - 1) * m.log1p(-z) - log_beta(a, b)
    ),
    'entropy': beta_entropy,
    'kl': beta_kl,
    'mean': lambda a, b: a / (a + b),
    'variance': lambda a, b: a * b / ((a + b) ** 2 * (a + b + 1)),
  },
  'ContinuousBernoulli': {
    'log_prob': lambda z, x: log_peak(x) - x * (1 - z),
    'entropy': lambda x: -log_peak(x) + x * (1 - continuous_bernoulli_mean(x)),
    'mean': continuous_bernoulli_mean,
    'variance': continuous_bernoulli_variance,
  },
  'Bernoulli': {
    'log_prob': lambda z, x: binary(x)[int(z)],
    'entropy': lambda x: entropy(binary(x)),
    'kl': lambda x_q, x_p: relative_entropy(binary(x_q), binary(x_p)),
    'mean': sigmoid,
    'variance': lambda x: sigmoid(x) * sigmoid(-x),
  },
  'Categorical': {
    'log_prob': lambda z, *x: log_softmax(x)[int(z)],
    'entropy': lambda *x: entropy(log_softmax(x)),
    'kl': lambda *x: relative_entropy(log_softmax(x[:3]), log_softmax(x[3:])),
  },
  'DiscretisedLogistic': {'log_prob': discretised_logistic},
  'RelaxedBernoulli': {'log_prob': relaxed_bernoulli},
  'RelaxedCategorical': {'log_prob': relaxed_categorical},
  'MultivariateNormal': {
    'log_prob': bivariate_log_prob,
    'entropy': lambda x, y, a, b, c: m.log(a * c) + 1 + 2 * _HALF_LOG_2_PI,
    'kl': bivariate_kl,
    'mean': lambda x, y, a, b, c: y,
    'variance': lambda x, y, a, b, c: b**2 + c**2,
  },
}
