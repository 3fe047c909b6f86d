"""Formulas of distributions in 60 digits, on numbers of mpmath."""

from collections.abc import Callable, Mapping
from typing import Any

import mpmath

m = mpmath.mp.clone()
m.dps = 60

# quantity -> function of the parameters; `log_prob` takes z first, and `kl` the
# parameters of q and of p.
Exact = Mapping[str, Callable[..., Any]]

EULER = m.euler


def softplus(x: Any) -> Any:
  return x + m.log1p(m.exp(-x)) if x > 0 else m.log1p(m.exp(x))


def sigmoid(x: Any) -> Any:
  return m.exp(-softplus(-x))


def log_beta(a: Any, b: Any) -> Any:
  return m.loggamma(a) + m.loggamma(b) - m.loggamma(a + b)


def located(
  density: Callable[..., Any],
  entropy: Any,
  kl: Callable[..., Any] | None = None,
  mean: Any = None,
  variance: Any = None,
) -> Exact:
  """Returns a location-scale family, from p(eps) and KL(r, d / b_p)."""
  functions: dict[str, Callable[..., Any]] = {
    'log_prob': lambda z, loc, s: density((z - loc) * m.exp(-s)) - s,
    'entropy': lambda loc, s: s + entropy,
  }
  if kl is not None:
    functions['kl'] = lambda loc_q, s_q, loc_p, s_p: kl(
      s_q - s_p, (loc_q - loc_p) * m.exp(-s_p)
    )
  if mean is not None:
    functions['mean'] = lambda loc, s: loc + m.exp(s) * mean
    functions['variance'] = lambda loc, s: m.exp(2 * s) * variance
  return functions


def normal_kl(r: Any, d: Any) -> Any:
  return (m.expm1(2 * r) + d**2) / 2 - r


def laplace_kl(r: Any, d: Any) -> Any:
  a = abs(d)
  return m.exp(r - a * m.exp(-r)) + a - r - 1


def cauchy_kl(r: Any, d: Any) -> Any:
  return m.log((1 + m.exp(r)) ** 2 + d**2) - r - m.log(4)


def gumbel_kl(r: Any, d: Any) -> Any:
  ratio = m.exp(r)
  moment = m.exp(m.loggamma(1 + ratio) - d)
  return -r + EULER * (ratio - 1) - 1 + d + moment


def weibull_kl(k_q: Any, s_q: Any, k_p: Any, s_p: Any) -> Any:
  return gumbel_kl(m.log(k_p / k_q), -k_p * (s_q - s_p))


def student_log_prob(z: Any, df: Any, loc: Any, s: Any) -> Any:
  eps = (z - loc) * m.exp(-s)
  tail = (df + 1) / 2 * m.log1p(eps**2 / df)
  return -tail - m.log(df) / 2 - log_beta(m.mpf(1) / 2, df / 2) - s


def student_entropy(df: Any, loc: Any, s: Any) -> Any:
  del loc
  spread = (df + 1) / 2 * (m.digamma((df + 1) / 2) - m.digamma(df / 2))
  return spread + m.log(df) / 2 + log_beta(m.mpf(1) / 2, df / 2) + s


def weibull_log_prob(z: Any, k: Any, s: Any) -> Any:
  y = m.log(z) - s
  return m.log(k) + (k - 1) * y - s - m.exp(k * y)


def weibull_variance(k: Any, s: Any) -> Any:
  return m.exp(2 * s) * (m.gamma(1 + 2 / k) - m.gamma(1 + 1 / k) ** 2)


def gamma_kl(a_q: Any, r_q: Any, a_p: Any, r_p: Any) -> Any:
  shape = (a_q - a_p) * m.digamma(a_q) - m.loggamma(a_q) + m.loggamma(a_p)
  return shape + a_p * (r_q - r_p) + a_q * m.expm1(r_p - r_q)


def beta_kl(a_q: Any, b_q: Any, a_p: Any, b_p: Any) -> Any:
  terms = (a_q - a_p) * m.digamma(a_q) + (b_q - b_p) * m.digamma(b_q)
  total = (a_p - a_q + b_p - b_q) * m.digamma(a_q + b_q)
  return log_beta(a_p, b_p) - log_beta(a_q, b_q) + terms + total


def beta_entropy(a: Any, b: Any) -> Any:
  spread = (a - 1) * m.digamma(a) + (b - 1) * m.digamma(b)
  return log_beta(a, b) - spread + (a + b - 2) * m.digamma(a + b)


def log_peak(x: Any) -> Any:
  """Returns log(x / (1 - exp(-x)))."""
  return m.log(x / -m.expm1(-x)) if x else m.mpf(0)


def continuous_bernoulli_mean(x: Any) -> Any:
  return 1 + 1 / m.expm1(x) - 1 / x if x else m.mpf(1) / 2


def continuous_bernoulli_variance(x: Any) -> Any:
  return 1 / x**2 - 1 / (2 * m.sinh(x / 2)) ** 2 if x else m.mpf(1) / 12


def log_softmax(logits: Any) -> list[Any]:
  total = m.log(m.fsum(m.exp(x) for x in logits))
  return [x - total for x in logits]


def relative_entropy(log_q: Any, log_p: Any) -> Any:
  pairs = zip(log_q, log_p, strict=True)
  return m.fsum(m.exp(a) * (a - b) for a, b in pairs)


def binary(logit: Any) -> list[Any]:
  return [-softplus(logit), -softplus(-logit)]


def entropy(log_p: Any) -> Any:
  return -m.fsum(m.exp(a) * a for a in log_p)


def discretised_logistic(x: Any, loc: Any, s: Any) -> Any:
  level = m.nint(255 * x)
  below, above = (
    ((level + h) / 255 - loc) * m.exp(-s) for h in (-m.mpf(1) / 2, m.mpf(1) / 2)
  )
  to_above = -softplus(-above) if level < 255 else 0
  from_below = -softplus(below) if level > 0 else 0
  inner = m.log(-m.expm1(below - above)) if 0 < level < 255 else 0
  return to_above + from_below + inner


def relaxed_bernoulli(z: Any, t: Any, logit: Any) -> Any:
  eps = t * m.log(z / (1 - z)) - logit
  return -eps - 2 * softplus(-eps) + m.log(t) - m.log(z * (1 - z))


def relaxed_categorical(z: Any, t: Any, *logits: Any) -> Any:
  log_p, log_z = log_softmax(logits), [m.log(x) for x in z]
  pairs = list(zip(log_p, log_z, strict=True))
  total = m.log(m.fsum(m.exp(a - t * b) for a, b in pairs))
  size = len(logits)
  constant = m.loggamma(size) + (size - 1) * m.log(t)
  return constant + m.fsum(a - (t + 1) * b for a, b in pairs) - size * total


def bivariate_log_prob(z: Any, x: Any, y: Any, a: Any, b: Any, c: Any) -> Any:
  first = (z[0] - x) / a
  second = (z[1] - y - b * first) / c
  return -(first**2 + second**2) / 2 - m.log(a * c) - m.log(2 * m.pi)


def bivariate_kl(*parameters: Any) -> Any:
  (x_q, y_q, a_q, b_q, c_q), (x_p, y_p, a_p, b_p, c_p) = (
    parameters[:5],
    parameters[5:],
  )
  solve = lambda u, v: (u / a_p, (v - b_p * u / a_p) / c_p)
  rows = [solve(x_q - x_p, y_q - y_p), solve(a_q, b_q), solve(m.mpf(0), c_q)]
  squares = m.fsum(u**2 for row in rows for u in row)
  return (squares - 2) / 2 + m.log(a_p * c_p / (a_q * c_q))
