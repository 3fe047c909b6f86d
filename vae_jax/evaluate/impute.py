"""Multiple imputation of missing data by importance weights."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.evaluate.chunks import condition, draw_with_log_weight
from vae_jax.models import Inference, LatentModel
from vae_jax.types import Array, Key, Latent, Params

# Samples of z whose p(x|z) are in memory at once.
_BATCH = 100


class Imputation(NamedTuple):
  """Values of one example where it is not observed.

  Attributes:
    draws: draws of p(x_missing | x_observed), with the observed numbers in
      their places, `[num_draws, ...]`.
    mean: E[x | x_observed], with the observed numbers, of the shape of x.
    effective_sample_size: (sum w)^2 / sum w^2 of the weights, `[]`; the draws
      are good where it is far above 1.
  """

  draws: Array
  mean: Array
  effective_sample_size: Array


def impute(
  key: Key,
  model: LatentModel,
  params: Params,
  example: Mapping[str, Array],
  *,
  num_samples: int = 1000,
  num_draws: int = 1,
) -> Imputation:
  """Draws the missing part of one example given its observed part.

  z_k ~ q(z|x_observed), w_k = p(x_observed|z_k) p(z_k) / q(z_k|x_observed);
  z is resampled with probabilities w_k / sum w, then x_missing ~ p(x|z). The
  draws are exact as K grows. `jax.vmap` imputes many examples.

  Args:
    key: consumed.
    model: any `LatentModel` of examples with a mask whose likelihood leaves
      out what is not observed, such as `MissingVAE`.
    params: parameters of the model.
    example: `{'x': x, 'mask': mask}`, perhaps with a condition 'y'; mask is
      true where x is observed.
    num_samples: samples of z, K, at least 1.
    num_draws: number of imputations.

  Returns:
    `Imputation`.

  Raises:
    ValueError: `num_samples` or `num_draws` below 1, or no mask.

  References:
    Mattei and Frellsen 2019, MIWAE: Deep Generative Modelling and Imputation
    of Incomplete Data Sets, eq. (11), (12); Rubin 1988, Using the SIR algorithm
    to simulate posterior distributions.
  """
  _check(example, num_samples, num_draws)
  z_key, choice_key, x_key = jax.random.split(key, 3)
  inference, mask = condition(model, params, example), example['mask']
  z, weights = _weighted_samples(z_key, inference, num_samples)

  def fill(x: Array) -> Array:
    return jnp.where(mask, inference.x, x.astype(inference.x.dtype))

  def draw(key_and_index: tuple[Key, Array]) -> Array:
    key, index = key_and_index
    own = jax.tree.map(lambda leaf: leaf[index], z)
    return fill(inference.likelihood(own).sample(key))

  # Not `jax.random.categorical`, which draws K numbers for each of these.
  chosen = jax.random.choice(choice_key, num_samples, (num_draws,), p=weights)
  draws = jax.lax.map(
    draw, (jax.random.split(x_key, num_draws), chosen), batch_size=_BATCH
  )
  mean = _weighted_mean(inference, z, weights)
  return Imputation(draws, fill(mean), 1 / jnp.sum(weights**2))


def _check(example: object, num_samples: int, num_draws: int) -> None:
  if min(num_samples, num_draws) < 1:
    raise ValueError(
      f'num_samples is {num_samples} and num_draws {num_draws}: each must be '
      'at least 1'
    )
  if not isinstance(example, Mapping) or 'mask' not in example:
    raise ValueError("example has no entry 'mask': nothing is missing")


def _weighted_samples(
  key: Key, inference: Inference, num_samples: int
) -> tuple[Latent, Array]:
  """Returns K samples of q and their self-normalised weights, `[K]`."""
  weigh = lambda key: draw_with_log_weight(key, inference)
  keys = jax.random.split(key, num_samples)
  z, log_w = jax.lax.map(weigh, keys, batch_size=_BATCH)
  return z, jax.nn.softmax(log_w)


def _weighted_mean(inference: Inference, z: Latent, weights: Array) -> Array:
  """Returns sum_k w_k E[x|z_k], one mean at a time."""

  def add(total: Array, pair: tuple[Latent, Array]) -> tuple[Array, None]:
    own, weight = pair
    mean = inference.likelihood(own).mean()
    return total + (weight * mean).astype(total.dtype), None

  return jax.lax.scan(add, jnp.zeros_like(inference.x), (z, weights))[0]
