"""The bound of every example of a split, and means with their errors."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions import has_kl
from vae_jax.evaluate import chunks
from vae_jax.model import VAE
from vae_jax.objectives import ElboTerms, vae_elbo
from vae_jax.types import Array, Key, Params


class EvaluationKeys(NamedTuple):
  """One key a purpose, the same in every run: curves of runs compare."""

  binarise: Key
  elbo: Key
  nll: Key
  figures: Key
  gradients: Key
  latents: Key
  gaps: Key
  sandwich: Key


def evaluation_keys() -> EvaluationKeys:
  """Returns the keys of all that is evaluated, whatever the run's seed."""
  count = len(EvaluationKeys._fields)
  return EvaluationKeys(*jax.random.split(jax.random.key(20131220), count))


def mean_and_standard_error(values: np.ndarray) -> tuple[float, float]:
  """Returns the mean of `[N]` values and its standard error, in float64."""
  values = np.asarray(values, np.float64)
  if len(values) < 2:
    return float(np.mean(values)), float('nan')
  error = np.std(values, ddof=1) / np.sqrt(len(values))
  return float(np.mean(values)), float(error)


def make_evaluate_elbo(
  vae: VAE,
) -> Callable[[Key, Params, Array], ElboTerms]:
  """Makes the jitted function that bounds every example of a split.

  Returns:
    `evaluate_elbo(key, params, data) -> ElboTerms`, each `[N]`, in nats: one
    draw an example, closed-form KL where the pair has one, beta = 1 whatever
    the training used. The same key gives the same draws to every model.
  """

  def evaluate_elbo(key: Key, params: Params, data: Array) -> ElboTerms:
    def one(index_and_x: tuple[Array, Array]) -> ElboTerms:
      index, x = index_and_x
      example_key = jax.random.fold_in(key, index)
      x = chunks.as_float(x)
      pair = vae.encode(params, x), vae.prior(params)
      form = 'kl' if has_kl(*pair) else 'joint'
      # Of a q that cannot be reparameterised as well: no gradient is taken.
      return vae_elbo(
        vae, example_key, params, x, form=form, estimator='score_function'
      )

    size = chunks.example_size(vae, params, data)
    batch = max(1, min(len(data), chunks.CHUNK_FLOATS // size))
    return jax.lax.map(one, (jnp.arange(len(data)), data), batch_size=batch)

  return jax.jit(evaluate_elbo)
