"""The pair q(z|x) and p(z) of a config, without values: what it admits."""

import functools
import types
from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.distributions import Chain, Distribution, kl_per_dimension
from vae_jax.models import POSTERIORS, PRIORS
from vae_jax.objectives.gdreg import can_reparameterise
from vae_jax.runs.config.layers import layer_pair
from vae_jax.types import Key


@functools.cache
def latent_pair(model: Any) -> tuple[Distribution, Distribution]:
  """Returns q(z|x) and p(z) of two dimensions, with abstract parameters.

  Args:
    model: the part `model` of a config.
  """
  if model.latent_dims:
    return layer_pair(model)
  row = PRIORS[model.prior]

  def make() -> tuple[Distribution, Distribution]:
    q_key, p_key = jax.random.split(jax.random.key(0))
    q = _posterior(q_key, model.posterior, model)
    head = row.head(2, **_read(model, row.options))
    return q, head.make(head.init(p_key), lambda x: q)

  return jax.eval_shape(make)


def _read(model: Any, names: tuple[str, ...]) -> dict[str, Any]:
  return {name: getattr(model, name) for name in names}


def _posterior(key: Key, name: str, model: Any) -> Distribution:
  """Makes q(z|x) of two dimensions for outputs of zeros."""
  row = POSTERIORS[name]
  head = row.head(2, **_read(model, row.options))
  zeros = {name: jnp.zeros(shape) for name, shape in head.outputs.items()}
  return head.make(head.init(key), zeros)


def posteriors_of(model: Any, families: tuple[type, ...]) -> list[str]:
  """Returns the names of the posteriors of some families."""
  # One key of the cache for every model with these options.
  names = sum((row.options for row in POSTERIORS.values()), ())
  found = _families(tuple(POSTERIORS), tuple(_read(model, names).items()))
  return [name for name, kind in found.items() if issubclass(kind, families)]


@functools.cache
def _families(
  names: tuple[str, ...], options: tuple[tuple[str, Any], ...]
) -> dict[str, type]:
  model = types.SimpleNamespace(**dict(options))
  key = jax.eval_shape(lambda: jax.random.key(0))
  make = lambda name: lambda key: _posterior(key, name, model)
  return {name: type(jax.eval_shape(make(name), key)) for name in names}


@functools.cache
def supports(model: Any) -> tuple[tuple[str, str], bool]:
  """Returns the supports of q(z|x) and p(z) in words, and if q is discrete.

  The words are ('', '') where the supports are equal or one is not known; of
  several layers they are those of the first one that differs. A mixture traces
  a component for each.
  """
  q, p = latent_pair(model)
  pairs = [(q.support, p.support)]
  if isinstance(q, Chain) and isinstance(p, Chain):
    q_each, p_each = q.supports(), p.supports()
    pairs = [(q_each[name], p_each[name]) for name in q.order]
  differing = [(a.words, b.words) for a, b in pairs if a and b and a is not b]
  return next(iter(differing), ('', '')), q.is_discrete


@functools.cache
def has_kl_per_dimension(model: Any) -> bool:
  """Returns whether the KL of each dimension has a closed form."""
  try:
    jax.eval_shape(kl_per_dimension, *latent_pair(model))
  except TypeError:
    return False
  return True


def share_support(model: Any) -> bool:
  """Returns whether q and p are over one set of events, as far as is known."""
  return not any(supports(model)[0])


@functools.cache
def learns_prior(model: Any) -> bool:
  """Returns whether p(z) has parameters that are learned."""
  if model.latent_dims or model.condition_prior:
    return True
  row = PRIORS[model.prior]
  head = row.head(2, **_read(model, row.options))
  return bool(jax.tree.leaves(jax.eval_shape(head.init, jax.random.key(0))))


@functools.cache
def can_reparameterise_prior(model: Any) -> bool:
  """Returns whether the estimator 'gdreg' admits the prior."""
  return can_reparameterise(latent_pair(model)[1])
