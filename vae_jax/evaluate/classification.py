"""Classification error and the bound without labels of a model M2."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.distributions import has_kl
from vae_jax.evaluate import chunks
from vae_jax.models import as_float
from vae_jax.models.quick_jit import quick_jit
from vae_jax.models.semi_supervised import SemiSupervisedVAE
from vae_jax.training.semi_supervised import make_bounds
from vae_jax.types import Array, Example, Key, Params


class Classification(NamedTuple):
  """Measurements of each example.

  Attributes:
    error: 1 where the most probable class of q(y|x) is not y, else 0, `[N]`.
    unlabelled_elbo: -U(x), a bound on log p(x) that does not read y, in nats,
      `[N]`.
  """

  error: Array
  unlabelled_elbo: Array


def make_evaluate_classification(
  model: SemiSupervisedVAE,
) -> Callable[[Key, Params, Any], Classification]:
  """Makes the jitted function that classifies every example.

  Args:
    model: the model.

  Returns:
    `evaluate(key, params, data) -> Classification`; data is
    `{'x': ..., 'y': ...}` with `[N, ...]` arrays.
  """

  def evaluate(key: Key, params: Params, data: Any) -> Classification:
    def one(index_and_example: tuple[Array, Example]) -> Classification:
      index, example = index_and_example
      example = as_float(example)
      inference = chunks.condition(model, params, example)
      closed = has_kl(inference.posterior, inference.prior)
      _, unlabelled = make_bounds(
        model,
        form='kl' if closed else 'joint',
        # Values of the two estimators are equal, and no gradient is taken.
        estimator='score_function'
        if inference.posterior.has_inverse
        else 'pathwise',
      )
      x, y = example['x'], example['y']
      best = jnp.argmax(model.classify(params, x).log_probabilities)
      bound = unlabelled(jax.random.fold_in(key, index), params, x)
      return Classification((best != y).astype(bound.elbo.dtype), bound.elbo)

    count = chunks.count_examples(data)
    size = model.num_classes * chunks.example_size(model, params, data)
    batch = max(1, min(count, chunks.CHUNK_FLOATS // size))
    return jax.lax.map(one, (jnp.arange(count), data), batch_size=batch)

  return quick_jit(evaluate)
