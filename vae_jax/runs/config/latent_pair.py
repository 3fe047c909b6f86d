"""The pair q(z|x) and p(z) of a config, without values: what it admits."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.distributions import Chain, Distribution, kl_per_dimension
from vae_jax.models import POSTERIORS, PRIORS
from vae_jax.objectives.gdreg import can_reparameterise
from vae_jax.runs.config.layers import layer_pair


@functools.cache
def latent_pair(model: Any) -> tuple[Distribution, Distribution]:
  """Returns q(z|x) and p(z) of two dimensions, with abstract parameters.

  Args:
    model: the part `model` of a config.
  """
  if model.latent_dims:
    return layer_pair(model)
  q_row, p_row = POSTERIORS[model.posterior], PRIORS[model.prior]
  read = lambda names: {name: getattr(model, name) for name in names}

  def make() -> tuple[Distribution, Distribution]:
    q_key, p_key = jax.random.split(jax.random.key(0))
    q_head = q_row.head(2, **read(q_row.options))
    zeros = {name: jnp.zeros(shape) for name, shape in q_head.outputs.items()}
    q = q_head.make(q_head.init(q_key), zeros)
    p_head = p_row.head(2, **read(p_row.options))
    return q, p_head.make(p_head.init(p_key), lambda x: q)

  return jax.eval_shape(make)


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
  head = row.head(2, **{name: getattr(model, name) for name in row.options})
  return bool(jax.tree.leaves(jax.eval_shape(head.init, jax.random.key(0))))


@functools.cache
def can_reparameterise_prior(model: Any) -> bool:
  """Returns whether the estimator 'gdreg' admits the prior."""
  return can_reparameterise(latent_pair(model)[1])
