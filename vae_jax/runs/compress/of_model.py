"""Codec of a trained VAE: checks, and tables of probabilities per example."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions import (
  Bernoulli,
  CategoricalPixels,
  DiscretisedLogistic,
  Distribution,
  Normal,
)
from vae_jax.errors import UserError
from vae_jax.evaluate.chunks import condition
from vae_jax.models import Inference, LatentModel
from vae_jax.runs.compress import bits_back, buckets
from vae_jax.runs.compress.bits_back import Codec
from vae_jax.runs.compress.container import digest
from vae_jax.types import Array, Params

_TOP = 255
# Examples of which the tables are compared between machines.
_NUM_PROBES = 3


def check_codable(model: LatentModel, params: Params, example: Any) -> None:
  """Checks that p(z) = N(0, I), q(z|x) is diagonal normal and x is discrete.

  Args:
    model: any `LatentModel`.
    params: parameters of the model.
    example: any example, as `model.condition` takes it.

  Raises:
    UserError: another model.
  """
  if isinstance(example, dict):
    raise UserError(
      'compress: got a model of x with a condition or mask beside it, expected '
      'one of x alone. Use another --workdir'
    )
  inference = condition(model, params, example)
  q, prior = inference.posterior, inference.prior
  if not (_is_vector_normal(prior) and _is_standard(prior)):
    raise UserError(
      f'--workdir: got p(z) of the family {prior.name}, expected N(0, I) in '
      'one layer. Train with --prior=normal and one layer'
    )
  if not _is_vector_normal(q):
    raise UserError(
      f'--workdir: got q(z|x) of the family {q.name}, expected a diagonal '
      'normal. Train with --posterior=normal'
    )
  p = inference.likelihood(jnp.zeros(prior.shape))
  if not isinstance(p, Bernoulli | CategoricalPixels | DiscretisedLogistic):
    raise UserError(
      f'--workdir: got p(x|z) of the family {p.name}, expected discrete '
      'pixels. Train with --likelihood=bernoulli, discretised_logistic or '
      'categorical'
    )


def _is_vector_normal(q: Distribution) -> bool:
  return type(q) is Normal and len(q.shape) == 1


def _is_standard(prior: Any) -> bool:
  zero = lambda x: bool(np.all(np.asarray(x) == 0))
  return zero(prior.loc) and zero(prior.log_scale)


def is_binary(model: LatentModel, params: Params, example: Any) -> bool:
  """Returns whether p(x|z) is one of bits, and not of 256 levels."""
  inference = condition(model, params, example)
  z = jnp.zeros(inference.prior.shape)
  return isinstance(inference.likelihood(z), Bernoulli)


def to_symbols(x: Any, binary: bool) -> np.ndarray:
  """Returns examples as symbols, `[N, D]` int32: bits, or levels to 255."""
  x = np.asarray(x)
  levels = x if binary or x.dtype == np.uint8 else np.round(_TOP * x)
  return levels.reshape(len(x), -1).astype(np.int32)


def from_symbols(symbols: Array, shape: tuple[int, ...], binary: bool) -> Array:
  """Returns one example as the likelihood takes it, of the given shape."""
  x = jnp.reshape(symbols, shape).astype(float)
  return x if binary else x / _TOP


def make_codec(
  model: LatentModel,
  params: Params,
  shape: tuple[int, ...],
  *,
  latent_bits: int,
) -> Codec:
  """Makes the codec of a model, whose networks run on one example at a time.

  Encoder and decoder call the same two compiled programs at the same shapes:
  on one machine they compute the same probabilities to the last bit.

  Args:
    model: a model that `check_codable` admits.
    params: parameters of the model.
    shape: shape of one x.
    latent_bits: log2 of the number of buckets per latent dimension.
  """
  zeros = jnp.zeros(shape)
  binary = is_binary(model, params, zeros)
  (num_latents,) = condition(model, params, zeros).prior.shape
  centres = buckets.centres(latent_bits)
  conditioned = lambda params, x: condition(model, params, x)

  @jax.jit
  def posterior(params: Params, symbols: Array) -> tuple[Array, Array]:
    q: Any = conditioned(params, from_symbols(symbols, shape, binary)).posterior
    full = lambda value: jnp.broadcast_to(value, q.shape)
    return full(q.loc), full(q.log_scale)

  @jax.jit
  def likelihood(params: Params, z: Array) -> Array:
    p: Any = conditioned(params, zeros).likelihood(z)
    if binary:
      return jnp.ravel(p.mean())
    table = jnp.exp(p.log_probabilities)
    return jnp.reshape(table, (-1, table.shape[-1]))

  def moments(symbols: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return jax.device_get(posterior(params, symbols))

  def table(z: np.ndarray) -> np.ndarray:
    found = jax.device_get(likelihood(params, centres[z]))
    return np.ascontiguousarray(found, np.float32)

  return Codec(moments, table, num_latents, latent_bits)


def coded_log_weights(
  model: LatentModel,
  params: Params,
  shape: tuple[int, ...],
  symbols: np.ndarray,
  z: np.ndarray,
) -> np.ndarray:
  """Computes log p(x, z) - log q(z|x) of each example at its coded z, `[N]`.

  Args:
    model: a model that `check_codable` admits.
    params: parameters of the model.
    shape: shape of one x.
    symbols: examples, `[N, D]`.
    z: latents, `[N, Z]`.
  """
  binary = is_binary(model, params, jnp.zeros(shape))

  def one(pair: tuple[Array, Array]) -> Array:
    x, z = from_symbols(pair[0], shape, binary), pair[1]
    inference: Inference = condition(model, params, x)
    return inference.log_joint(z) - inference.posterior.log_prob(z)

  every = jax.jit(lambda pairs: jax.lax.map(one, pairs, batch_size=100))
  return np.asarray(every((jnp.asarray(symbols), jnp.asarray(z))))


def digest_of_params(params: Params) -> bytes:
  """Returns the digest of parameters: their names, shapes and values."""
  parts = []
  for path, leaf in jax.tree_util.tree_leaves_with_path(params):
    array = np.asarray(leaf)
    facts = (jax.tree_util.keystr(path), array.dtype.str, array.shape)
    parts += [repr(facts).encode(), array.tobytes()]
  return digest(*parts)


def digest_of_tables(codec: Codec, shape: tuple[int, ...]) -> bytes:
  """Returns the digest of probabilities and coded bits of fixed probes.

  It differs where another machine, or another version of a library, computes
  other floating-point numbers or other frequencies.

  Args:
    codec: the codec.
    shape: shape of one x.
  """
  raw = np.random.PCG64(1)
  size, parts = int(np.prod(shape)), []
  symbols = (raw.random_raw(_NUM_PROBES * size) >> np.uint64(63)).astype(
    np.int32
  )
  probes = symbols.reshape(_NUM_PROBES, size)
  for x in probes:
    parts += [moment.tobytes() for moment in codec.posterior(x)]
  coded = bits_back.encode(codec, probes)
  parts += [codec.likelihood(z).tobytes() for z in coded.buckets]
  parts.append(coded.words.tobytes())
  return digest(*parts)
