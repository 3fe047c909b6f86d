"""KL terms and moments of a posterior, per latent dimension or named latent."""

import itertools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from vae_jax.distributions import (
  Categorical,
  Chain,
  Distribution,
  LowRankNormal,
  MultivariateNormal,
  Normal,
  RelaxedCategorical,
  has_kl,
  kl,
  kl_per_dimension,
  sample,
)
from vae_jax.distributions.base import Elementwise
from vae_jax.distributions.logged_draw import plain
from vae_jax.evaluate.chunks import draw_with_log_prob
from vae_jax.types import Array, Key, Latent

# Samples per example for a quantity without closed form.
NUM_DRAWS = 100


class Moments(NamedTuple):
  """Moments of z under q, flattened to `[D]`.

  Attributes:
    mean: E_q[z], or its average over samples.
    variance: Var_q[z], or that of the samples.
    noise: variance of `mean` as an estimator; 0 for a closed form.
  """

  mean: Array
  variance: Array
  noise: Array


def kl_sizes(q: Distribution, prior: Distribution) -> dict[str, int]:
  """Returns the label of each entry of `kl_terms`, and its dimensions.

  'z[0]', 'z[1]', ... for independent dimensions, where a categorical one counts
  as the entries of its one-hot vector; 'z' for the total of anything else. Of
  two Chains the same for each latent, 'z1[0]', ... or 'z1', in the
  sorted order of their names; `layers_of` reads the names back.
  """
  event = jax.eval_shape(lambda key: plain(q.sample(key)), jax.random.key(0))
  size = lambda event: sum(leaf.size for leaf in jax.tree.leaves(event))
  if isinstance(q, Categorical) and isinstance(prior, Categorical):
    count = q.log_probabilities.shape[-1]
    return {f'z[{i}]': count for i in range(size(event))}
  if not (isinstance(q, Chain) and isinstance(prior, Chain)):
    return _labels('z', size(event), _factorise(marginals(q), prior))
  labels: dict[str, int] = {}
  for name, factorised in _factorised_parts(q, prior).items():
    labels |= _labels(name, size(event[name]), factorised)
  return labels


def layers_of(sizes: Mapping[str, int]) -> dict[str, slice]:
  """Returns the dimensions of each named latent of a Chain.

  Args:
    sizes: labels and sizes of the KL terms, of `kl_sizes`.

  Returns:
    name -> slice of the `[D]` dimensions; {} of a single latent z.
  """
  counts: dict[str, int] = {}
  for label, size in sizes.items():
    name = label.split('[')[0]
    counts[name] = counts.get(name, 0) + size
  if counts.keys() == {'z'}:
    return {}
  ends = itertools.accumulate(counts.values())
  return {
    name: slice(end - count, end)
    for end, (name, count) in zip(ends, counts.items(), strict=True)
  }


def _labels(name: str, size: int, factorised: bool) -> dict[str, int]:
  if factorised:
    return {f'{name}[{i}]': 1 for i in range(size)}
  return {name: size}


def _factorised_parts(q: Chain, prior: Chain) -> dict[str, bool]:
  """Returns whether each latent has independent dimensions, in q and p."""
  found: dict[str, bool] = {}

  def ask(q: Chain, prior: Chain) -> None:
    z = plain(q.sample(jax.random.key(0)))
    for name in sorted(q.order):
      found[name] = _factorise(q.part(name, z), prior.part(name, z))

  jax.eval_shape(ask, q, prior)
  return found


def kl_terms(key: Key, q: Distribution, prior: Distribution) -> Array:
  """Returns the terms of KL(q || prior), in the order of `kl_sizes`.

  In closed form where the pair has one; otherwise E_q[log q - log prior] by
  one sample for independent dimensions, else by 100 samples. The term of a
  latent of a Chain is E_q[log q(z_i|...) - log p(z_i|...)], each given what
  its own Chain draws before, by dimension where these are independent: the
  terms sum to the KL, but one may be negative.
  The dimensions of a normal with a covariance are replaced by their marginals.

  Args:
    key: consumed.
    q: q(z|x).
    prior: p(z).

  Returns:
    `[G]`, in nats.
  """
  if isinstance(q, Chain) and isinstance(prior, Chain):
    return _average(key, lambda key: _chain_terms(key, q, prior))
  if isinstance(q, Categorical) and isinstance(prior, Categorical):
    return jnp.ravel(kl_per_dimension(q, prior))
  one = marginals(q)
  if _factorise(one, prior):
    return _dimension_terms(key, one, prior)
  if has_kl(q, prior):
    return kl(q, prior)[None]

  def log_ratio(key: Key) -> Array:
    z, log_q = draw_with_log_prob(key, q)
    return (log_q - prior.log_prob(z))[None]

  return _average(key, log_ratio)


def moments(key: Any, q: Distribution) -> Moments:
  """Returns the mean and variance of each dimension of z.

  In closed form, or from 100 samples. The parts of a dict are concatenated in
  the sorted order of their names, each in C order. Labels have no mean: the
  moments of a categorical q are those of its one-hot vectors.

  Args:
    key: consumed; None where q has closed-form moments.
    q: q(z|x).
  """
  if isinstance(q, Categorical):
    p = jnp.ravel(jnp.exp(q.log_probabilities))
    return Moments(p, p * (1 - p), jnp.zeros_like(p))
  if q.has_moments:
    mean, variance = (ravel_pytree(v)[0] for v in (q.mean(), q.variance()))
    return Moments(mean, variance, jnp.zeros_like(variance))
  keys = jax.random.split(key, NUM_DRAWS)
  z = jax.vmap(lambda key: ravel_pytree(plain(sample(key, q)))[0])(keys)
  variance = jnp.var(z, axis=0, ddof=1)
  return Moments(jnp.mean(z, axis=0), variance, variance / NUM_DRAWS)


def marginals(q: Distribution) -> Distribution:
  """Returns the independent marginals of the dimensions of a normal q."""
  if isinstance(q, MultivariateNormal | LowRankNormal):
    return Normal(q.mean(), 0.5 * jnp.log(q.variance()))
  return q


def is_factorised(q: Distribution) -> bool:
  """Returns whether the dimensions of q are known to be independent."""
  # The entries of a point of the simplex depend on each other.
  return isinstance(q, Elementwise) and not isinstance(q, RelaxedCategorical)


def per_dimension(q: Distribution) -> Distribution:
  """Returns a factorised q with each parameter of the shape of its event."""
  return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, q.shape), q)


def _factorise(q: Distribution, prior: Distribution) -> bool:
  return is_factorised(q) and is_factorised(prior)


def _average(key: Key, f: Callable[[Key], Array]) -> Array:
  """Averages f over 100 keys, one at a time to bound memory."""
  one = lambda i: f(jax.random.fold_in(key, i))
  return jnp.mean(jax.lax.map(one, jnp.arange(NUM_DRAWS)), axis=0)


def _dimension_terms(key: Key, q: Distribution, prior: Distribution) -> Array:
  if has_kl(q, prior):
    return jnp.ravel(kl_per_dimension(q, prior))
  return log_ratios(q, prior, sample(key, q))


def log_ratios(q: Distribution, prior: Distribution, z: Latent) -> Array:
  """Returns log q(z_j) - log p(z_j) of independent dimensions, `[D]`."""
  flat = lambda tree: jax.tree.map(jnp.ravel, tree)
  each = jax.vmap(lambda q, p, z: q.log_prob(z) - p.log_prob(z))
  return each(flat(per_dimension(q)), flat(per_dimension(prior)), flat(z))


def _chain_terms(key: Key, q: Chain, prior: Chain) -> Array:
  """Returns one sample of log q(z_i|...) - log p(z_i|...) per KL term."""
  z: dict[str, Latent] = {}
  log_q = {}
  keys = jax.random.split(key, len(q.order))
  for name, name_key in zip(q.order, keys, strict=True):
    z[name], log_q[name] = draw_with_log_prob(name_key, q.part(name, z))

  def terms(name: str) -> Array:
    one, p = q.part(name, z), prior.part(name, z)
    if _factorise(one, p):
      return log_ratios(one, p, z[name])
    return (log_q[name] - p.log_prob(z[name]))[None]

  return jnp.concatenate([terms(name) for name in sorted(q.order)])
