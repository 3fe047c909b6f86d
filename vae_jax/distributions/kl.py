"""Kullback-Leibler divergences in closed form."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.distributions import _divergences
from vae_jax.distributions._numerics import (
  event_sum,
  exponential_remainder,
  float32_or_wider,
  log_quotient,
  rescale,
)
from vae_jax.distributions._stirling import beta_kl, gamma_kl
from vae_jax.distributions.base import Distribution
from vae_jax.distributions.bernoulli import Bernoulli
from vae_jax.distributions.categorical import Categorical
from vae_jax.distributions.domain import within_domain
from vae_jax.distributions.exponential import (
  Exponential,
  Pareto,
  Rayleigh,
  Weibull,
)
from vae_jax.distributions.gamma_beta import Beta, Gamma
from vae_jax.distributions.heavy_tails import Cauchy
from vae_jax.distributions.location_scale import Gumbel, Laplace, Normal
from vae_jax.distributions.log_normal import LogNormal
from vae_jax.distributions.low_rank_normal import (
  LowRankNormal,
  capacitance_root,
)
from vae_jax.distributions.multivariate_normal import MultivariateNormal
from vae_jax.distributions.uniform import Uniform
from vae_jax.types import Array, ArrayLike

ClosedForm = Callable[[Any, Any], Array]
_CLOSED_FORMS: dict[tuple[type, type], ClosedForm] = {}


def _closed_form(q: type, p: type) -> Callable[[ClosedForm], ClosedForm]:
  def register(function: ClosedForm) -> ClosedForm:
    _CLOSED_FORMS[q, p] = function
    return function

  return register


def kl(q: Distribution, p: Distribution) -> Array:
  """Returns KL(q || p) = E_q[log q(z) - log p(z)] in closed form.

  Args:
    q: the distribution of the expectation.
    p: the reference distribution, over an event of the same shape.

  Returns:
    `[]`, in nats; inf where q puts mass outside the support of p.

  Raises:
    TypeError: the pair has no closed form here.
    ValueError: the events differ in shape.

  Examples:
    >>> print(vj.kl(vj.Normal(1.0, 0.0), vj.Normal(0.0, 0.0)))
    0.5
  """
  return event_sum(_terms(q, p))


def kl_per_dimension(q: Distribution, p: Distribution) -> Array:
  """Returns the terms of `kl(q, p)` per dimension, of the event's shape.

  Args:
    q: a distribution with independent dimensions.
    p: a distribution with independent dimensions.

  Returns:
    In nats; they sum to `kl(q, p)`.

  Raises:
    TypeError: the pair has no closed form here that sums over dimensions.
    ValueError: the events differ in shape.
  """
  terms = _terms(q, p)
  if terms.shape != q.shape:
    raise TypeError(
      f'KL({q.name} || {p.name}) is not a sum over dimensions. Use `vj.kl`'
    )
  return terms


def has_kl(q: Distribution, p: Distribution) -> bool:
  """Returns True if `kl(q, p)` has a closed form here."""
  return (type(q), type(p)) in _CLOSED_FORMS


def _terms(q: Distribution, p: Distribution) -> Array:
  closed_form = _CLOSED_FORMS.get((type(q), type(p)))
  if closed_form is None:
    raise TypeError(
      f'KL({q.name} || {p.name}) has no closed form here: '
      "use form='entropy' or form='joint'"
    )
  if q.shape != p.shape:
    raise ValueError(f'q has shape {q.shape} and p has shape {p.shape}')
  return closed_form(within_domain(q), within_domain(p))


def _elementwise(terms: ClosedForm) -> ClosedForm:
  """Broadcasts the terms to the event where dimensions share parameters."""

  @functools.wraps(terms)
  def each(q: Distribution, p: Distribution) -> Array:
    return jnp.broadcast_to(terms(q, p), q.shape)

  return each


def _log_ratio(q: Any, p: Any, name: str = 'log_scale') -> Array:
  return jnp.asarray(getattr(q, name)) - getattr(p, name)


def _shift(q: Any, p: Any) -> Array:
  """Returns the difference of locations in units of the scale of p."""
  return rescale(jnp.asarray(q.loc) - p.loc, -jnp.asarray(p.log_scale))


@_closed_form(LogNormal, LogNormal)
@_closed_form(Normal, Normal)
@_elementwise
def _normal_normal(q: Normal, p: Normal) -> Array:
  """Kingma and Welling 2014, appendix B, for any p.

  The divergence is invariant under exp, so it serves LogNormal too.
  """
  log_ratio, shift = _log_ratio(q, p), _shift(q, p)
  return 0.5 * (exponential_remainder(2 * log_ratio) + shift**2)


def _as_multivariate(q: Any) -> MultivariateNormal:
  if isinstance(q, MultivariateNormal):
    return q
  if isinstance(q, LowRankNormal):
    return q.with_full_scale()
  if len(q.shape) != 1:
    raise ValueError(f'Normal has an event of shape {q.shape}: must be [n]')
  scale = jnp.exp(jnp.broadcast_to(q.log_scale, q.shape))
  return MultivariateNormal(q.mean(), jnp.diag(scale))


@_closed_form(Normal, LowRankNormal)
@_closed_form(LowRankNormal, LowRankNormal)
@_closed_form(LowRankNormal, MultivariateNormal)
@_closed_form(MultivariateNormal, LowRankNormal)
@_closed_form(Normal, MultivariateNormal)
@_closed_form(MultivariateNormal, Normal)
@_closed_form(MultivariateNormal, MultivariateNormal)
def _multivariate(q: Any, p: Any) -> Array:
  """(tr(S_p^-1 S_q) + d' S_p^-1 d - n + log|S_p| - log|S_q|) / 2.

  With triangular C_q, C_p and r the log-ratios of their diagonals, this is
  (sum_i (exp(2 r_i) - 1 - 2 r_i) + |R|^2 + d' S_p^-1 d) / 2, where R is
  C_p^-1 C_q below its diagonal.
  """
  q, p = _as_multivariate(q), _as_multivariate(p)
  c_q, c_p = q.triangular_scale, p.triangular_scale
  solve = functools.partial(jax.scipy.linalg.solve_triangular, lower=True)
  below = jnp.tril(solve(c_p, c_q - c_p), -1)
  ratio = log_quotient(jnp.diagonal(c_q), jnp.diagonal(c_p))
  distance = solve(c_p, q.mean() - p.mean())
  return 0.5 * (
    event_sum(exponential_remainder(2 * ratio))
    + event_sum(below**2)
    + event_sum(distance**2)
  )


@_closed_form(LowRankNormal, Normal)
def _low_rank(q: LowRankNormal, p: Normal) -> Array:
  v = q.scaled_factor
  log_ratio = jnp.broadcast_to(_log_ratio(q, p), q.shape)
  return _divergences.low_rank(log_ratio, _shift(q, p), v, capacitance_root(v))


@_closed_form(Laplace, Laplace)
@_elementwise
def _laplace(q: Laplace, p: Laplace) -> Array:
  distance = jnp.asarray(q.loc) - p.loc
  return _divergences.laplace(distance, q.log_scale, p.log_scale)


@_closed_form(Cauchy, Cauchy)
@_elementwise
def _cauchy(q: Cauchy, p: Cauchy) -> Array:
  distance = jnp.asarray(q.loc) - p.loc
  return _divergences.cauchy(distance, q.log_scale, p.log_scale)


@_closed_form(Gumbel, Gumbel)
@_elementwise
def _gumbel(q: Gumbel, p: Gumbel) -> Array:
  log_ratio = _log_ratio(q, p)
  excess = jnp.expm1(log_ratio)
  return _divergences.gumbel(log_ratio, excess, _shift(q, p))


@_closed_form(Exponential, Exponential)
@_elementwise
def _exponential(q: Exponential, p: Exponential) -> Array:
  return exponential_remainder(-_log_ratio(q, p, 'log_rate'))


@_closed_form(Weibull, Weibull)
@_elementwise
def _weibull(q: Weibull, p: Weibull) -> Array:
  """Bauckhage 2013, Computing the KL between two Weibulls, eq. (8).

  -log z is Gumbel, with loc = -log_scale and scale 1 / k.
  """
  k_q, k_p = jnp.asarray(q.concentration), jnp.asarray(p.concentration)
  shift = -k_p * _log_ratio(q, p)
  log_ratio = log_quotient(k_p, k_q)
  return _divergences.gumbel(log_ratio, (k_p - k_q) / k_q, shift)


@_closed_form(Rayleigh, Rayleigh)
@_elementwise
def _rayleigh(q: Rayleigh, p: Rayleigh) -> Array:
  return exponential_remainder(2 * _log_ratio(q, p))


@_closed_form(Pareto, Pareto)
@_elementwise
def _pareto(q: Pareto, p: Pareto) -> Array:
  a_q, a_p = jnp.asarray(q.concentration), jnp.asarray(p.concentration)
  log_ratio = _log_ratio(q, p)
  inside = a_p * log_ratio + exponential_remainder(log_quotient(a_p, a_q))
  return jnp.where(log_ratio >= 0, inside, jnp.inf)


@_closed_form(Uniform, Uniform)
@_elementwise
def _uniform(q: Uniform, p: Uniform) -> Array:
  inside = (jnp.asarray(q.low) >= p.low) & (jnp.asarray(q.high) <= p.high)
  half = lambda x: 0.5 * jnp.asarray(x)
  gaps = half(q.low) - half(p.low) + (half(p.high) - half(q.high))
  return jnp.where(
    inside, log_quotient(p.half_width, q.half_width, gaps), jnp.inf
  )


def _array(parameter: ArrayLike, q: Any) -> Array:
  return jnp.broadcast_to(jnp.asarray(parameter, q.dtype), q.shape)


def _as_gamma(q: Gamma | Exponential) -> Gamma:
  return q if isinstance(q, Gamma) else Gamma(1.0, q.log_rate)


@_closed_form(Exponential, Gamma)
@_closed_form(Gamma, Exponential)
@_closed_form(Gamma, Gamma)
@_elementwise
def _gamma(q: Any, p: Any) -> Array:
  """Penny 2001, KL-Divergences of Normal, Gamma, Dirichlet and Wishart."""
  q, p = _as_gamma(q), _as_gamma(p)
  a_q, a_p = (_array(d.concentration, q) for d in (q, p))
  return gamma_kl(a_q, a_p, _log_ratio(q, p, 'log_rate'))


@_closed_form(Beta, Beta)
@_elementwise
def _beta(q: Beta, p: Beta) -> Array:
  names = 'concentration1', 'concentration0'
  return beta_kl(
    *(_array(getattr(d, name), q) for d in (q, p) for name in names)
  )


@_closed_form(Bernoulli, Bernoulli)
@_elementwise
def _bernoulli(q: Bernoulli, p: Bernoulli) -> Array:
  return _divergences.bernoulli(jnp.asarray(q.logits), jnp.asarray(p.logits))


@_closed_form(Categorical, Categorical)
def _categorical(q: Categorical, p: Categorical) -> Array:
  sizes = [jnp.shape(d.logits)[-1] for d in (q, p)]
  if sizes[0] != sizes[1]:
    raise ValueError(f'q has {sizes[0]} categories and p has {sizes[1]}')
  terms = _divergences.categorical(jnp.asarray(q.logits), jnp.asarray(p.logits))
  return jnp.sum(terms, axis=-1, dtype=float32_or_wider(terms.dtype))
