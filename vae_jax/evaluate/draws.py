"""Codes, reconstructions and samples of many examples, in bounded memory."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.distributions import Chain, Distribution, Transformed, sample
from vae_jax.distributions.logged_draw import plain
from vae_jax.evaluate import chunks
from vae_jax.models import LatentModel
from vae_jax.models.quick_jit import quick_jit
from vae_jax.types import Example, Key, Params

# Examples that are computed at once, and the floats of their x, at most.
_MOST, _FLOATS = 500, 2**22

# (keys, inference of one example) -> arrays by name
_One = Callable[[Any, Any], dict[str, Any]]


def encode_all(
  key: Key,
  model: LatentModel,
  params: Params,
  data: Any,
  *,
  num_samples: int = 1,
) -> dict[str, Any]:
  """Describes q(z|x) of each example by its moments and by draws.

  Args:
    key: consumed.
    model: any `LatentModel`.
    params: parameters of the model.
    data: pytree of `[N, ...]` arrays.
    num_samples: draws per example, S.

  Returns:
    A dict of NumPy arrays, of a hierarchy of dicts by latent: 'draws',
    `[N, S, ...]`; 'means' and 'scales' (standard deviations), `[N, ...]`, where
    q has moments in closed form; else 'parameters', by name, of a family with
    parameters of its own per example, such as a Categorical.
  """

  def one(key: Key, inference: Any) -> dict[str, Any]:
    q = inference.posterior
    keys = jax.random.split(key, num_samples)
    found = {'draws': jax.vmap(lambda key: plain(sample(key, q)))(keys)}
    if q.has_moments:
      found['means'] = q.mean()
      found['scales'] = jax.tree.map(jnp.sqrt, q.variance())
    elif has_own_parameters(q):
      found['parameters'] = named_parameters(q)
    return found

  return _map(one, key, model, params, data, num_samples)


def reconstruct_all(
  key: Key, model: LatentModel, params: Params, data: Any
) -> dict[str, Any]:
  """Computes E[x'|z] of one draw z ~ q(z|x) per example.

  Args:
    key: consumed; equal keys give equal z as `LoadedRun.reconstruct`.
    model: any `LatentModel`.
    params: parameters of the model.
    data: pytree of `[N, ...]` arrays.

  Returns:
    'means', E[x'|z], and 'z', NumPy arrays `[N, ...]`.
  """

  def one(key: Key, inference: Any) -> dict[str, Any]:
    z = sample(key, inference.posterior)
    return {'means': inference.likelihood(z).mean(), 'z': plain(z)}

  return _map(one, key, model, params, data)


def sample_all(
  key: Key, draw_key: Key, model: LatentModel, params: Params, data: Any
) -> dict[str, Any]:
  """Samples z ~ p(z), or p(z|y), and x ~ p(x|z).

  Args:
    key: consumed by z; equal keys give equal z as `LoadedRun.sample`.
    draw_key: consumed by x.
    model: any `LatentModel`.
    params: parameters of the model.
    data: pytree of `[N, ...]` arrays, with the condition of each sample; their
      x is not used.

  Returns:
    'means', E[x|z], 'draws' of x and 'z', NumPy arrays `[N, ...]`.
  """

  def one(keys: tuple[Key, Key], inference: Any) -> dict[str, Any]:
    z = sample(keys[0], inference.prior)
    likelihood = inference.likelihood(z)
    draw = sample(keys[1], likelihood)
    return {'means': likelihood.mean(), 'draws': plain(draw), 'z': plain(z)}

  return _map(one, (key, draw_key), model, params, data)


def has_own_parameters(q: Distribution) -> bool:
  """Returns whether the leaves of q are parameters of one example."""
  # Those of a flow and of a hierarchy are mostly weights of networks.
  return not isinstance(q, Chain | Transformed)


def named_parameters(q: Distribution) -> dict[str, Any]:
  """Returns the parameters of a distribution by name, such as 'loc'."""
  leaves = jax.tree_util.tree_leaves_with_path(q)
  name = lambda path: jax.tree_util.keystr(path, simple=True, separator='_')
  return {name(path): jnp.asarray(leaf) for path, leaf in leaves}


def _map(
  one: _One,
  parents: Any,
  model: LatentModel,
  params: Params,
  data: Any,
  num_samples: int = 1,
) -> Any:
  """Maps a function over the examples, in chunks of one compiled program."""
  count = chunks.count_examples(data)
  keys = jax.tree.map(lambda key: jax.random.split(key, count), parents)
  size = chunks.example_size(model, params, data) * num_samples
  chunk = min(count, max(1, min(_MOST, _FLOATS // size)))

  def given(params: Params, keys: Any, example: Example) -> dict[str, Any]:
    return one(keys, chunks.condition(model, params, example))

  many = quick_jit(jax.vmap(given, (None, 0, 0)))

  def of_rows(index: Any) -> Any:
    some = jax.device_put(chunks.take(data, index))
    return many(params, chunks.take(keys, index), some)

  return chunks.map_chunks(of_rows, count, chunk)
