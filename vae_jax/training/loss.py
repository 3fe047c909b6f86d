"""The loss of a latent-variable model over a batch of examples."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P

from vae_jax.distributions import kl_per_dimension
from vae_jax.errors import lookup
from vae_jax.models import LatentModel
from vae_jax.models.options import options_of
from vae_jax.objectives import (
  OBJECTIVES,
  Objective,
  control_variate,
  free_bits as sum_free_bits,
  learned_coefficient,
)
from vae_jax.objectives.elbo import weigh_divergence
from vae_jax.types import Array, Example, Key, Params

# (key, params, batch) -> (loss, per-example terms); the ELBO's also takes beta.
LossFn = Callable[..., tuple[Array, Any]]
# (key, params, batch) -> per-example terms by name, `[B]`
Terms = Callable[[Key, Params, Any], dict[str, Array]]


def make_loss(
  model: LatentModel,
  config: Any = None,
  *,
  objective: str = 'elbo',
  estimator: str = 'pathwise',
  num_samples: int = 1,
  num_groups: int = 1,
  form: str = 'auto',
  beta: float = 1.0,
  free_bits: float = 0.0,
  elbo_weight: float = 0.05,
  alpha: float = 0.5,
  temperature: float = 0.5,
) -> LossFn:
  """Makes the negative bound of a batch.

  loss(key, params, batch) = -1/B sum_b bound(x_b), a key per example, with the
  unreduced terms by name, `[B]`. The terms of the ELBO have beta = 1 whatever
  beta and free bits train.

  Args:
    model: any `LatentModel`.
    config: the part `objective` of a config, whose fields are the keyword
      arguments below; None to give them here. A warm-up of beta is a schedule
      of its own, `make_loss_schedules`.
    objective: the bound, a key of `OBJECTIVES`.
    estimator: gradient with respect to the posterior, a key of `ESTIMATORS`
      that the objective admits.
    num_samples: samples of z per example, K of a bound.
    num_groups: M of 'miwae' and 'piwae'.
    form: form of the 'elbo': 'auto', 'kl', 'entropy' or 'joint'.
    beta: weight of the KL of the 'elbo'; `loss(..., beta=...)` overrides it.
    free_bits: KL in nats that each latent dimension has for free.
    elbo_weight: a of 'ciwae'.
    alpha: order of 'renyi'.
    temperature: temperature of 'gumbel_softmax' and 'straight_through'.

  Returns:
    `loss(key, params, batch) -> (loss, terms)`; `batch` is a pytree of
    examples with a leading axis `[B]`.

  Raises:
    ValueError: an unknown objective, an estimator it does not admit, or beta
      or free bits for a weighted bound.

  References:
    Kingma and Welling 2014, Auto-Encoding Variational Bayes, eq. (8).
  """
  if config is not None:
    return make_loss(model, **options_of(make_loss, config))
  row = lookup('objective', OBJECTIVES, objective)
  _check_estimator(row, objective, estimator)
  given = {
    'estimator': estimator,
    'num_samples': num_samples,
    'num_groups': num_groups,
    'form': form,
    'elbo_weight': elbo_weight,
    'alpha': alpha,
    'temperature': temperature,
  }
  options = {name: given[name] for name in row.options}
  if row.weighted and (beta != 1 or free_bits):
    raise ValueError(
      f'beta is {beta} and free_bits {free_bits} with objective {objective!r}: '
      "only 'elbo' has a KL to weight; leave them out"
    )
  make_terms = _adaptive_terms if estimator == 'adaptive' else _plain_terms
  terms = make_terms(model, row, options)
  if not row.weighted:
    return _elbo_loss(model, terms, beta, free_bits)

  def loss(key: Key, params: Params, batch: Any) -> tuple[Array, Any]:
    found = terms(key, params, batch)
    return -jnp.mean(found[row.metric]), found

  return loss


def _check_estimator(row: Objective, objective: str, estimator: str) -> None:
  if estimator == 'auto':
    raise ValueError(
      "estimator is 'auto', which the command train alone has: "
      'vj.choose_estimator measures estimators, and returns the best'
    )
  if estimator not in row.estimators:
    raise ValueError(
      f'estimator is {estimator!r} with objective {objective!r}: must be one '
      f'of {row.estimators}'
    )


def _elbo_loss(
  model: LatentModel, terms: Terms, default_beta: float, free_bits: float
) -> LossFn:
  def divergences(params: Params, example: Example) -> Array:
    inference = model.condition(params, example)
    return kl_per_dimension(inference.posterior, inference.prior)

  def loss(
    key: Key, params: Params, batch: Any, *, beta: Any = default_beta
  ) -> tuple[Array, Any]:
    found = terms(key, params, batch)
    cost = jnp.mean(found['kl'])
    if free_bits:
      each = jax.vmap(divergences, (None, 0))(params, batch)
      cost = sum_free_bits(each, free_bits)
    cost = weigh_divergence(beta, cost)
    return cost - jnp.mean(found['log_likelihood']), found

  return loss


def _one(
  model: LatentModel, row: Objective, options: dict[str, Any]
) -> Callable[..., dict[str, Array]]:
  """Makes the terms of one example."""

  def one(
    key: Key, params: Params, example: Example, **more: Any
  ) -> dict[str, Array]:
    inference = model.condition(params, example)
    return row.terms(
      key,
      inference.posterior,
      inference.prior,
      inference.log_likelihood,
      **options,
      **more,
    )

  return one


def _plain_terms(
  model: LatentModel, row: Objective, options: dict[str, Any]
) -> Terms:
  one = _one(model, row, options)

  def terms(key: Key, params: Params, batch: Any) -> dict[str, Array]:
    keys = example_keys(key, batch)
    return jax.vmap(one, (0, None, 0))(keys, params, batch)

  return terms


def _adaptive_terms(
  model: LatentModel, row: Objective, options: dict[str, Any]
) -> Terms:
  """Makes the terms with a control variate learned from the other examples."""
  one = _one(model, row, options)

  def compare(key: Key, params: Params, example: Example) -> Any:
    inference = model.condition(params, example)
    return control_variate(
      key,
      inference.posterior,
      inference.log_joint,
      num_samples=options['num_samples'],
      weighted=row.weighted,
    )

  def terms(key: Key, params: Params, batch: Any) -> dict[str, Array]:
    keys = example_keys(key, batch)
    # The same keys again: the compared draws are the draws that train.
    pairs = jax.vmap(compare, (0, None, 0))(
      jax.random.clone(keys), params, batch
    )
    coefficient = learned_coefficient(pairs)
    combined = lambda key, example, c: one(key, params, example, coefficient=c)
    found = jax.vmap(combined)(keys, batch, coefficient)
    return found | {'coefficient': coefficient}

  return terms


def example_keys(key: Key, batch: Any) -> Key:
  """Splits a key into one per example, `[B]`, sharded as the batch is.

  On a mesh with explicit axes `jax.vmap` takes inputs whose mapped axes are
  sharded alike; without one this is `jax.random.split(key, B)`.
  """
  keys = jax.random.split(key, batch_size_of(batch))
  sharding = jax.typeof(jax.tree.leaves(batch)[0]).sharding
  axis = sharding.spec[0] if sharding.spec else None
  if axis is None:
    return keys
  return jax.sharding.reshard(keys, jax.NamedSharding(sharding.mesh, P(axis)))


def batch_size_of(batch: Any) -> int:
  """Returns the length of the leading axis of a pytree of examples.

  Raises:
    ValueError: the leaves differ in it, or there are none.
  """
  sizes = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(batch)}
  if len(sizes) != 1 or sizes == {()}:
    raise ValueError(
      f'batch has leading axes {sorted(sizes)}: every array must have the '
      'same number of examples'
    )
  return sizes.pop()[0]
