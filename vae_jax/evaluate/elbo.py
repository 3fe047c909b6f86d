"""Evidence lower bound (ELBO), or another bound, of every example."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from vae_jax.distributions import has_kl
from vae_jax.evaluate import chunks
from vae_jax.models import LatentModel, as_float
from vae_jax.models.quick_jit import quick_jit
from vae_jax.objectives import OBJECTIVES, ElboTerms, elbo
from vae_jax.training import make_loss
from vae_jax.training.mesh import chunk_size, jit, over_examples
from vae_jax.types import Array, Example, Key, Params


def make_evaluate_elbo(
  model: LatentModel, mesh: Mesh | None = None
) -> Callable[[Key, Params, Any], ElboTerms]:
  """Makes the jitted function that computes the ELBO of every example.

  One sample of z per example, the closed-form KL where the pair has one, and
  beta = 1 whatever beta was trained. Two models get the same noise from the
  same key.

  Args:
    model: any `LatentModel`.
    mesh: devices over which the examples are sharded; None for one.

  Returns:
    `evaluate_elbo(key, params, data) -> ElboTerms`, each `[N]`, in nats; data
    is a pytree of `[N, ...]` arrays.
  """

  def evaluate_elbo(key: Key, params: Params, data: Any) -> ElboTerms:
    def one(index_and_example: tuple[Array, Example]) -> ElboTerms:
      index, example = index_and_example
      example_key = jax.random.fold_in(key, index)
      inference = chunks.condition(model, params, example)
      q, prior = inference.posterior, inference.prior
      # The score function also admits a q without pathwise gradient; the
      # values of the two estimators are equal and no gradient is taken.
      estimator = 'score_function' if q.has_inverse else 'pathwise'
      return elbo(
        example_key,
        q,
        prior,
        inference.log_likelihood,
        form='kl' if has_kl(q, prior) else 'joint',
        estimator=estimator,
      )

    count = chunks.count_examples(data)
    size = chunks.example_size(model, params, data)
    batch = max(1, min(count, chunks.CHUNK_FLOATS // size))
    return _map_examples(one, count, data, batch, mesh)

  return jit(evaluate_elbo, mesh, alone=quick_jit)


def make_evaluate_bound(
  model: LatentModel, options: Any, mesh: Mesh | None = None
) -> Callable[[Key, Params, Any], dict[str, Array]]:
  """Makes the jitted mean of the bound that is trained over a data set.

  Args:
    model: any `LatentModel`.
    options: the part `objective` of a config.
    mesh: devices over which the examples are sharded; None for one.

  Returns:
    `evaluate_bound(key, params, data) -> {metric: mean}`, in nats, by the name
    that the bound has in training; {} for the ELBO, which is always evaluated.
  """
  row = OBJECTIVES[options.objective]
  if not row.weighted:
    return lambda key, params, data: {}
  if options.estimator == 'adaptive':
    # The value of a bound is the same with every estimator, and the
    # coefficient of this one needs other examples.
    options = dataclasses.replace(options, estimator='pathwise')
  loss = make_loss(model, options)

  def evaluate_bound(key: Key, params: Params, data: Any) -> dict[str, Array]:
    def one(index_and_example: tuple[Array, Example]) -> Array:
      index, example = index_and_example
      batch = jax.tree.map(lambda leaf: leaf[None], as_float(example))
      _, terms = loss(jax.random.fold_in(key, index), params, batch)
      return terms[row.metric][0]

    count = chunks.count_examples(data)
    draws = options.num_samples * options.num_groups
    size = draws * chunks.example_size(model, params, data)
    batch = max(1, min(count, chunks.CHUNK_FLOATS // size))
    bounds = _map_examples(one, count, data, batch, mesh)
    return {row.metric: jnp.mean(bounds)}

  return jit(evaluate_bound, mesh)


def _map_examples(
  one: Callable[[tuple[Array, Example]], Any],
  count: int,
  data: Any,
  batch: int,
  mesh: Mesh | None,
) -> Any:
  """Maps a function of index and example over all, in batches per device."""

  def many(index: Array, data: Any) -> Any:
    return jax.lax.map(one, (index, data), batch_size=batch)

  index = jnp.arange(count)
  if mesh is None:
    return many(index, data)
  # Repeats of the last example make the number divisible.
  index = jnp.minimum(jnp.arange(chunk_size(count, count, mesh)), count - 1)
  found = over_examples(many, (0, 0), mesh)(index, chunks.take(data, index))
  return jax.tree.map(lambda leaf: leaf[:count], found)
