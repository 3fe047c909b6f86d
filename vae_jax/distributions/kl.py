"""Kullback-Leibler divergences in closed form."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import betaln, digamma, gammaln

from vae_jax.distributions._numerics import EULER_GAMMA, event_sum, softplus
from vae_jax.distributions.base import Distribution
from vae_jax.distributions.bernoulli import Bernoulli
from vae_jax.distributions.categorical import Categorical
from vae_jax.distributions.exponential import (
  Exponential,
  Pareto,
  Rayleigh,
  Weibull,
)
from vae_jax.distributions.gamma_beta import Beta, Gamma
from vae_jax.distributions.location_scale import Cauchy, Gumbel, Laplace, Normal
from vae_jax.distributions.log_normal import LogNormal
from vae_jax.distributions.multivariate_normal import MultivariateNormal
from vae_jax.distributions.uniform import Uniform
from vae_jax.types import Array

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
    TypeError: the pair has no closed form here, or its closed form is not
      a sum over dimensions.
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
  return closed_form(q, p)


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
  scale = jnp.exp(-jnp.asarray(p.log_scale))
  return (jnp.asarray(q.loc) - p.loc) * scale


@_closed_form(LogNormal, LogNormal)
@_closed_form(Normal, Normal)
@_elementwise
def _normal_normal(q: Normal, p: Normal) -> Array:
  """Kingma and Welling 2014, appendix B, for any p.

  The divergence is invariant under exp, so it serves LogNormal too.
  """
  log_ratio, shift = _log_ratio(q, p), _shift(q, p)
  return 0.5 * (jnp.exp(2 * log_ratio) + shift**2 - 1) - log_ratio


def _as_multivariate(q: Normal | MultivariateNormal) -> MultivariateNormal:
  if isinstance(q, MultivariateNormal):
    return q
  if len(q.shape) != 1:
    raise ValueError(f'Normal has an event of shape {q.shape}: must be [n]')
  scale = jnp.exp(jnp.broadcast_to(q.log_scale, q.shape))
  return MultivariateNormal(q.mean(), jnp.diag(scale))


@_closed_form(Normal, MultivariateNormal)
@_closed_form(MultivariateNormal, Normal)
@_closed_form(MultivariateNormal, MultivariateNormal)
def _multivariate(q: Any, p: Any) -> Array:
  """(tr(S_p^-1 S_q) + d' S_p^-1 d - n + log|S_p| - log|S_q|) / 2."""
  q, p = _as_multivariate(q), _as_multivariate(p)
  # Centred: a location far from 0 would lose the digits of the columns.
  centred = dataclasses.replace(p, loc=jnp.zeros(p.shape))
  trace = event_sum(jax.vmap(centred.inverse, 1)(q.scale) ** 2)
  distance = event_sum(p.inverse(q.mean()) ** 2)
  log_dets = p.log_abs_det() - q.log_abs_det()
  return 0.5 * (trace + distance - q.shape[0]) + log_dets


@_closed_form(Laplace, Laplace)
@_elementwise
def _laplace(q: Laplace, p: Laplace) -> Array:
  log_ratio, shift = _log_ratio(q, p), jnp.abs(_shift(q, p))
  # |d| / b_q.
  inner = shift * jnp.exp(-log_ratio)
  return jnp.exp(log_ratio - inner) + shift - log_ratio - 1


@_closed_form(Cauchy, Cauchy)
@_elementwise
def _cauchy(q: Cauchy, p: Cauchy) -> Array:
  """Chyzak and Nielsen 2019, eq. (1), symmetric in q and p."""
  log_ratio, shift = _log_ratio(q, p), _shift(q, p)
  # hypot avoids overflow of the squares in float32.
  width = jnp.hypot(1 + jnp.exp(log_ratio), shift)
  return 2 * jnp.log(width) - log_ratio - math.log(4)


@_closed_form(Gumbel, Gumbel)
@_elementwise
def _gumbel(q: Gumbel, p: Gumbel) -> Array:
  log_ratio, shift = _log_ratio(q, p), _shift(q, p)
  ratio = jnp.exp(log_ratio)
  tail = jnp.exp(-shift + gammaln(1 + ratio))
  return -log_ratio + EULER_GAMMA * (ratio - 1) - 1 + shift + tail


@_closed_form(Exponential, Exponential)
@_elementwise
def _exponential(q: Exponential, p: Exponential) -> Array:
  log_ratio = _log_ratio(q, p, 'log_rate')
  return log_ratio + jnp.exp(-log_ratio) - 1


@_closed_form(Weibull, Weibull)
@_elementwise
def _weibull(q: Weibull, p: Weibull) -> Array:
  """Bauckhage 2013, Computing the KL between two Weibulls, eq. (8)."""
  k_q, k_p = jnp.asarray(q.concentration), jnp.asarray(p.concentration)
  log_ratio = _log_ratio(q, p)
  moment = jnp.exp(k_p * log_ratio + gammaln(1 + k_p / k_q))
  spread = EULER_GAMMA * (k_p / k_q - 1) - k_p * log_ratio
  return jnp.log(k_q) - jnp.log(k_p) + spread + moment - 1


@_closed_form(Rayleigh, Rayleigh)
@_elementwise
def _rayleigh(q: Rayleigh, p: Rayleigh) -> Array:
  log_ratio = _log_ratio(q, p)
  return jnp.exp(2 * log_ratio) - 1 - 2 * log_ratio


@_closed_form(Pareto, Pareto)
@_elementwise
def _pareto(q: Pareto, p: Pareto) -> Array:
  a_q, a_p = jnp.asarray(q.concentration), jnp.asarray(p.concentration)
  log_ratio = _log_ratio(q, p)
  inside = a_p * log_ratio + jnp.log(a_q) - jnp.log(a_p) + a_p / a_q - 1
  return jnp.where(log_ratio >= 0, inside, jnp.inf)


@_closed_form(Uniform, Uniform)
@_elementwise
def _uniform(q: Uniform, p: Uniform) -> Array:
  inside = (jnp.asarray(q.low) >= p.low) & (jnp.asarray(q.high) <= p.high)
  width = lambda d: jnp.log(jnp.asarray(d.high) - d.low)
  return jnp.where(inside, width(p) - width(q), jnp.inf)


def _as_gamma(q: Gamma | Exponential) -> Gamma:
  return q if isinstance(q, Gamma) else Gamma(1.0, q.log_rate)


@_closed_form(Exponential, Gamma)
@_closed_form(Gamma, Exponential)
@_closed_form(Gamma, Gamma)
@_elementwise
def _gamma(q: Any, p: Any) -> Array:
  """Penny 2001, KL-Divergences of Normal, Gamma, Dirichlet and Wishart."""
  q, p = _as_gamma(q), _as_gamma(p)
  a_q, a_p = jnp.asarray(q.concentration), jnp.asarray(p.concentration)
  log_ratio = _log_ratio(q, p, 'log_rate')
  shape = (a_q - a_p) * digamma(a_q) - gammaln(a_q) + gammaln(a_p)
  return shape + a_p * log_ratio + a_q * jnp.expm1(-log_ratio)


@_closed_form(Beta, Beta)
@_elementwise
def _beta(q: Beta, p: Beta) -> Array:
  (a_q, b_q), (a_p, b_p) = (
    (jnp.asarray(d.concentration1), jnp.asarray(d.concentration0))
    for d in (q, p)
  )
  terms = (a_q - a_p) * digamma(a_q) + (b_q - b_p) * digamma(b_q)
  total = (a_p - a_q + b_p - b_q) * digamma(a_q + b_q)
  return betaln(a_p, b_p) - betaln(a_q, b_q) + terms + total


@_closed_form(Bernoulli, Bernoulli)
@_elementwise
def _bernoulli(q: Bernoulli, p: Bernoulli) -> Array:
  logits = jnp.asarray(q.logits)
  cost = q.mean() * (logits - p.logits)
  return cost - softplus(logits) + softplus(p.logits)


@_closed_form(Categorical, Categorical)
def _categorical(q: Categorical, p: Categorical) -> Array:
  log_q, log_p = q.log_probabilities, p.log_probabilities
  if log_q.shape != log_p.shape:
    raise ValueError(
      f'q has {log_q.shape[-1]} categories and p has {log_p.shape[-1]}'
    )
  # Labels with q = 0 contribute 0 log 0 = 0 to the value and the gradient.
  possible = log_q > -jnp.inf
  gap = jnp.where(possible, log_q, 0) - jnp.where(possible, log_p, 0)
  return event_sum(jnp.exp(log_q) * gap)
