"""The bounds of a VAE, and the loss that the flags describe: the one vmap."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.compatibility import resolve_form
from vae_jax.config import Config
from vae_jax.distributions import kl_per_dimension
from vae_jax.model import VAE
from vae_jax.objectives.elbo import ElboTerms, elbo, mixed_elbo
from vae_jax.objectives.importance import iw_elbo, mixed_iw_elbo
from vae_jax.objectives.mixture import control_variate, learned_coefficient
from vae_jax.objectives.relatives import (
  ciw_elbo,
  miw_elbo,
  piw_elbo,
  renyi_elbo,
)
from vae_jax.types import Array, Key, LogDensity, Params

# (key, params, batch) -> (loss, per-example terms); the elbo's takes beta too
LossFn = Callable[..., tuple[Array, Any]]
# (key, params, batch, keywords of the bound `[B]`) -> per-example terms
Terms = Callable[..., Any]

# The metric that carries the bound of an objective, and the bound.
_WEIGHTED: dict[str, tuple[str, Callable[..., Array]]] = {
  'iwae': ('iw_elbo', iw_elbo),
  'miwae': ('miw_elbo', miw_elbo),
  'piwae': ('piw_elbo', piw_elbo),
  'ciwae': ('ciw_elbo', ciw_elbo),
  'renyi': ('renyi_elbo', renyi_elbo),
}


def vae_elbo(
  vae: VAE, key: Key, params: Params, x: Array, **options: Any
) -> ElboTerms:
  """Returns the `elbo` of one x under a VAE; `options` as those of `elbo`."""
  log_likelihood = lambda z: vae.decode(params, z).log_prob(x)
  q, prior = vae.encode(params, x), vae.prior(params)
  bound = mixed_elbo if 'coefficient' in options else elbo
  return bound(key, q, prior, log_likelihood, **options)


def vae_log_joint(vae: VAE, params: Params, x: Array) -> LogDensity:
  """Returns z -> log p(x|z) + log p(z)."""
  prior = vae.prior(params)
  return lambda z: vae.decode(params, z).log_prob(x) + prior.log_prob(z)


def vae_bound(
  bound: Callable[..., Any],
  vae: VAE,
  key: Key,
  params: Params,
  x: Array,
  **options: Any,
) -> Any:
  """Returns `bound(key, q, log_joint, **options)` of one x under a VAE."""
  q, log_joint = vae.encode(params, x), vae_log_joint(vae, params, x)
  return bound(key, q, log_joint, **options)


def free_bits(divergences: Array, minimum: float) -> Array:
  """Returns sum_j max(minimum, 1/B sum_b KL_bj), `[]`, in nats.

  A dimension of z pays for no more than it uses beyond `minimum`, so that
  none is given up at the start of training.

  Args:
    divergences: KL(q(z_j|x_b) || p(z_j)), `[B, Z]`.
    minimum: lambda, in nats, at least 0.

  References:
    Kingma et al. 2016, Improved Variational Inference with Inverse
    Autoregressive Flow, eq. (15).
  """
  return jnp.sum(jnp.maximum(jnp.mean(divergences, axis=0), minimum))


def bound_name(objective: str) -> str:
  """Returns the metric that holds what --objective climbs."""
  return 'elbo' if objective == 'elbo' else _WEIGHTED[objective][0]


def make_loss(config: Config, vae: VAE) -> LossFn:
  """Returns the loss that the flags describe.

  loss(key, params, batch) = -1/B sum_b bound(x_b), each example with a key of
  its own, beside the unreduced terms by name, `[B]`; of the elbo these are at
  beta = 1, whatever beta and free bits train.
  """
  if config.objective == 'elbo':
    return _elbo_loss(config, vae)
  return _weighted_loss(config, vae)


def _elbo_loss(config: Config, vae: VAE) -> LossFn:
  options: dict[str, Any] = {'num_samples': config.num_samples}
  if config.estimator != 'mixture':
    options['form'] = resolve_form(config)
    options['estimator'] = config.estimator
  one = functools.partial(vae_elbo, vae, **options)
  terms = _make_terms(
    config, vae, lambda *args, **kw: one(*args, **kw)._asdict()
  )

  def divergences(params: Params, x: Array) -> Array:
    return kl_per_dimension(vae.encode(params, x), vae.prior(params))

  def loss(
    key: Key, params: Params, batch: Array, *, beta: Any = config.beta
  ) -> tuple[Array, Any]:
    found = terms(key, params, batch)
    cost = jnp.mean(found['kl'])
    if config.free_bits:
      each = jax.vmap(divergences, (None, 0))(params, batch)
      cost = free_bits(each, config.free_bits)
    return beta * cost - jnp.mean(found['log_likelihood']), found

  return loss


def _weighted_loss(config: Config, vae: VAE) -> LossFn:
  name, bound = _WEIGHTED[config.objective]
  options: dict[str, Any] = {'num_samples': config.num_samples}
  if config.estimator == 'mixture':
    bound = mixed_iw_elbo
  elif config.objective in ('iwae', 'miwae', 'ciwae'):
    options['estimator'] = config.estimator
  if config.objective in ('miwae', 'piwae'):
    options['num_groups'] = config.num_groups
  if config.objective == 'ciwae':
    options['elbo_weight'] = config.elbo_weight
  if config.objective == 'renyi':
    options['alpha'] = config.alpha
  one = functools.partial(vae_bound, bound, vae, **options)
  terms = _make_terms(config, vae, lambda *args, **kw: {name: one(*args, **kw)})

  def loss(key: Key, params: Params, batch: Array) -> tuple[Array, Any]:
    found = terms(key, params, batch)
    return -jnp.mean(found[name]), found

  return loss


def _make_terms(config: Config, vae: VAE, one: Terms) -> Terms:
  """Makes the terms of a batch from those of one example: here is the vmap."""

  def terms(key: Key, params: Params, batch: Array) -> dict[str, Array]:
    keys = jax.random.split(key, len(batch))
    if config.estimator != 'mixture':
      return jax.vmap(one, (0, None, 0))(keys, params, batch)
    compare = functools.partial(
      vae_bound,
      control_variate,
      vae,
      num_samples=config.num_samples,
      weighted=config.objective == 'iwae',
    )
    # The same keys again: the draws that are compared are those that train.
    pairs = jax.vmap(compare, (0, None, 0))(
      jax.random.clone(keys), params, batch
    )
    coefficient = learned_coefficient(pairs)
    mixed = lambda key, x, c: one(key, params, x, coefficient=c)
    found = jax.vmap(mixed)(keys, batch, coefficient)
    return found | {'coefficient': coefficient}

  return terms
