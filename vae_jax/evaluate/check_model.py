"""Checks that p(x|z) is the normalised density of one example."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions import sample
from vae_jax.evaluate import chunks
from vae_jax.evaluate.causality import check_causal
from vae_jax.evaluate.check import ROUNDING, Check, relative, within
from vae_jax.evaluate.normalisation import measure_normalisation
from vae_jax.models import LatentModel
from vae_jax.types import Array, Example, Key, Latent, Params

# Examples that the checks look at.
_EXAMPLES = 16


def check_model(
  key: Key,
  model: LatentModel,
  params: Params,
  data: Any,
  *,
  train: Any = None,
) -> tuple[Check, ...]:
  """Checks that a model's likelihoods are what they seem to be.

  -log p(x) can be compared only if p(x|z) is the density of one x, whatever
  else is in its batch, and sums to one. Published code has evaluated decoders
  with batch normalisation in training mode: p(x|z) then sees other images.

  * batch: log p(x|z), log q(z|x) and log p(z) of an example alone, and within
    two batches of other examples, evaluated under `jax.vmap`;
  * deterministic: the same, computed twice;
  * support: log p(x|z) of the data is finite, z ~ q(z|x);
  * gradients: those of the ELBO are finite;
  * normalised: sum or integral of p(x|z) over x is 1, exactly on a lattice of
    at most 4096 points, else by importance sampling;
  * causal: where the likelihood has a method `conditionals(x)`, log p(x_i|x_<i)
    in the order of the scan, they do not depend on later entries of x, and sum
    to `log_prob(x)`;
  * overlap: no example of `data` is one of `train`.

  Args:
    key: consumed.
    model: any `LatentModel`.
    params: parameters of the model.
    data: pytree of `[N, ...]` arrays; the first 16 examples are used, all of
      them by 'overlap'.
    train: training examples, of the form of `data`; None for no such check.

  Returns:
    One `Check` per line above, in this order.

  Raises:
    ValueError: fewer than 3 examples, which make no two batches.

  References:
    van den Oord, Kalchbrenner and Kavukcuoglu 2016, Pixel Recurrent Neural
    Networks, section 3, for the order of a causal decoder.
  """
  some = _take_some(data)
  z_key, gradient_key, sum_key = jax.random.split(key, 3)
  scores = _make_scores(model)
  z = _draw(z_key, model, params, some)
  alone = _alone(scores, params, some, z)
  checks = [
    _check_batch(scores, params, some, z, alone),
    _check_deterministic(scores, params, some, z, alone),
    _check_support(alone),
    _check_gradients(gradient_key, model, params, some),
    _check_normalised(sum_key, model, params, some, z),
  ]
  checks += check_causal(model, params, some, z)
  if train is not None:
    checks.append(check_overlap(data, train))
  return tuple(checks)


def _take_some(data: Any) -> Any:
  count = min(chunks.count_examples(data), _EXAMPLES)
  if count < 3:
    raise ValueError(f'data has {count} examples: expected at least 3')
  return jax.tree.map(jnp.asarray, chunks.take(data, slice(count)))


def _make_scores(model: LatentModel) -> Callable[..., Array]:
  """Makes log p(x|z), log q(z|x) (0 without inverse) and log p(z), `[3]`."""

  def scores(params: Params, example: Example, z: Latent) -> Array:
    inference = chunks.condition(model, params, example)
    q = inference.posterior
    log_q = q.log_prob(z) if q.has_inverse else jnp.zeros(())
    terms = inference.log_likelihood(z), log_q, inference.prior.log_prob(z)
    return jnp.stack([jnp.asarray(t, jnp.result_type(float)) for t in terms])

  return scores


def _draw(key: Key, model: LatentModel, params: Params, data: Any) -> Latent:
  def draw(pair: tuple[Key, Example]) -> Latent:
    key, example = pair
    return sample(key, chunks.condition(model, params, example).posterior)

  keys = jax.random.split(key, chunks.count_examples(data))
  return jax.lax.map(draw, (keys, data))


def _alone(
  scores: Callable[..., Array], params: Params, data: Any, z: Latent
) -> np.ndarray:
  """Returns the scores of each example in a batch of its own, `[N, 3]`."""
  many = jax.jit(jax.vmap(scores, (None, 0, 0)))
  one = lambda i: many(params, *chunks.take((data, z), slice(i, i + 1)))
  return np.concatenate([one(i) for i in range(chunks.count_examples(data))])


def _check_batch(
  scores: Callable[..., Array],
  params: Params,
  data: Any,
  z: Latent,
  alone: np.ndarray,
) -> Check:
  """Compares with batches of the whole, and of the example with its half."""
  many = jax.jit(jax.vmap(scores, (None, 0, 0)))
  half = len(alone) // 2
  parts = [slice(0, half), slice(half, None)]
  in_halves = np.concatenate(
    [many(params, *chunks.take((data, z), part)) for part in parts]
  )
  in_whole = np.asarray(many(params, data, z))
  difference, nats = 0.0, 0.0
  for batch in (in_whole, in_halves):
    difference = max(difference, relative(batch, alone))
    finite = np.isfinite(batch[:, 0]) & np.isfinite(alone[:, 0])
    changes = np.abs(batch[finite, 0] - alone[finite, 0])
    nats = max(nats, float(np.max(changes, initial=0.0)))
  return within(
    'batch',
    difference,
    ROUNDING,
    'relative difference of log p(x|z), log q(z|x), log p(z) in other batches; '
    f'log p(x|z) changes by up to {nats:.3g} nats. A density of one x may not '
    'see the batch: use running statistics, or layer normalisation',
  )


def _check_deterministic(
  scores: Callable[..., Array],
  params: Params,
  data: Any,
  z: Latent,
  alone: np.ndarray,
) -> Check:
  again = _alone(scores, params, data, z)
  return within(
    'deterministic',
    relative(again, alone),
    0.0,
    'difference of the same numbers computed twice. Encoder and decoder may '
    'draw nothing, such as dropout',
  )


def _check_support(alone: np.ndarray) -> Check:
  share = float(np.mean(~np.isfinite(alone[:, 0])))
  return within(
    'support',
    share,
    0.0,
    'share of examples whose log p(x|z) is not finite. x may lie outside the '
    'support of the likelihood, such as pixels of 0 to 255',
  )


def _check_gradients(
  key: Key, model: LatentModel, params: Params, data: Any
) -> Check:
  """Differentiates log p(x, z) - log q(z|x) in every float parameter."""
  is_float = lambda x: jnp.issubdtype(jnp.result_type(x), jnp.floating)
  leaves, structure = jax.tree.flatten(params)

  def bound(floats: list[Array], key: Key, example: Example) -> Array:
    own = iter(floats)
    merged = [next(own) if is_float(leaf) else leaf for leaf in leaves]
    inference = chunks.condition(
      model, jax.tree.unflatten(structure, merged), example
    )
    q = inference.posterior
    if q.is_discrete:
      z = sample(key, q)
      return inference.log_joint(z) - q.log_prob(z)
    z, log_q = q.draw_and_log_prob(key)
    return inference.log_joint(z) - log_q

  keys = jax.random.split(key, chunks.count_examples(data))
  many = jax.jit(jax.vmap(jax.grad(bound), (None, 0, 0)))
  gradients = many([leaf for leaf in leaves if is_float(leaf)], keys, data)
  bad = [np.mean(~np.isfinite(leaf)) for leaf in jax.device_get(gradients)]
  return within(
    'gradients',
    float(max(bad, default=0.0)),
    0.0,
    'largest share, over the parameter arrays, of gradients of the bound that '
    'are not finite',
  )


def _check_normalised(
  key: Key, model: LatentModel, params: Params, data: Any, z: Latent
) -> Check:
  first, own = chunks.take((data, z), 0)
  inference = chunks.condition(model, params, first)
  observed = jax.vmap(lambda e: chunks.condition(model, params, e).x)(data)
  found = measure_normalisation(
    key, inference.likelihood(own), inference.x, np.unique(observed)
  )
  words = f'|sum of p(x|z) over x - 1|, {found.words}'
  if found.tolerance is None:
    return Check('normalised', None, found.value, math.nan, words)
  return within('normalised', found.value, found.tolerance, words)


def check_overlap(data: Any, train: Any) -> Check:
  """Counts the different examples that are in both."""
  rows = lambda tree: {
    row.tobytes() for row in np.ascontiguousarray(jax.tree.leaves(tree)[0])
  }
  shared = len(rows(data) & rows(train))
  return within(
    'overlap',
    float(shared),
    0.0,
    'different examples that are in the training set too',
  )
