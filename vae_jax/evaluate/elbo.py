"""Evidence lower bound (ELBO) of every example of a data set."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.distributions import has_kl
from vae_jax.evaluate import chunks
from vae_jax.models import LatentModel
from vae_jax.objectives import ElboTerms, elbo
from vae_jax.types import Array, Example, Key, Params


def make_evaluate_elbo(
  model: LatentModel,
) -> Callable[[Key, Params, Any], ElboTerms]:
  """Makes the jitted function that computes the ELBO of every example.

  One sample of z per example, the closed-form KL where the pair has one, and
  beta = 1 whatever beta was trained. Two models get the same noise from the
  same key.

  Args:
    model: any `LatentModel`.

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
    return jax.lax.map(one, (jnp.arange(count), data), batch_size=batch)

  return jax.jit(evaluate_elbo)
