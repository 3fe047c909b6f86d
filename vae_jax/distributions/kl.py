"""Kullback-Leibler divergences in closed form."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from vae_jax.distributions.base import Distribution, event_sum
from vae_jax.distributions.bernoulli import Bernoulli, softplus
from vae_jax.distributions.normal import Normal
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
    q: the distribution that the expectation is under.
    p: the other, over an event of the same shape.

  Returns:
    `[]`, in nats.

  Raises:
    TypeError: the pair has no closed form here.
    ValueError: the events differ in shape.
  """
  closed_form = _CLOSED_FORMS.get((type(q), type(p)))
  if closed_form is None:
    raise TypeError(
      f'KL({type(q).__name__} || {type(p).__name__}) has no closed form here: '
      "use form='entropy' or form='joint'"
    )
  if q.shape != p.shape:
    raise ValueError(f'q has shape {q.shape} and p has shape {p.shape}')
  return closed_form(q, p)


@_closed_form(Normal, Normal)
def _normal_normal(q: Normal, p: Normal) -> Array:
  """Kingma and Welling 2014, appendix B, for any p."""
  shape = q.shape
  log_ratio = jnp.asarray(q.log_scale) - p.log_scale
  shift = (jnp.asarray(q.loc) - p.loc) * jnp.exp(-jnp.asarray(p.log_scale))
  terms = 0.5 * (jnp.exp(2 * log_ratio) + shift**2 - 1) - log_ratio
  return event_sum(jnp.broadcast_to(terms, shape))


@_closed_form(Bernoulli, Bernoulli)
def _bernoulli_bernoulli(q: Bernoulli, p: Bernoulli) -> Array:
  logits = jnp.asarray(q.logits)
  cost = q.mean() * (logits - p.logits)
  return event_sum(cost - softplus(logits) + softplus(p.logits))
