"""Preprocessing for a likelihood: binarisation, dequantisation, scaling."""

from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.data.facts import grey_share
from vae_jax.data.streamed import Examples, Streamed
from vae_jax.errors import UserError
from vae_jax.models.quick_jit import quick_jit
from vae_jax.models.supports import BINARY, COUNTS, PIXELS, REALS, UNIT
from vae_jax.types import Array, Key

# (key, x as stored) -> numbers of the default precision, float32 or float64,
# of the same shape, in the likelihood's support
Preprocess = Callable[[Key, Array], Array]


def binarise(key: Key, images: Array) -> Array:
  """Draws x ~ Bernoulli(pixel / 255).

  A new key at each visit to an image gives dynamic binarisation.

  Args:
    key: Random key.
    images: 8-bit pixels of any shape.

  Returns:
    Zeros and ones of the same shape.

  References:
    Burda, Grosse and Salakhutdinov 2015, Importance Weighted Autoencoders,
    section 5.
  """
  probabilities = _as_float(images) / 255
  return _as_float(jax.random.bernoulli(key, probabilities))


def binarise_fast(key: Key, images: Array) -> Array:
  """Draws x ~ Bernoulli(pixel / 255) from 16 random bits per pixel.

  P(x = 1) = ceil(65536 pixel / 255) / 65536 is that of `binarise` to within
  2^-16, exactly 0 for black and 1 for white. A quarter of the random blocks of
  `binarise` is computed, which takes up to a third of a gradient step.

  Args:
    key: Random key.
    images: 8-bit pixels of any shape.

  Returns:
    Zeros and ones of the same shape.
  """
  return _as_float(_below(_random_16_bits(key, images.size), images))


def _random_16_bits(key: Key, count: int) -> Array:
  """Returns independent integers in [0, 65536), `[count]` uint16."""
  # Two words of a child key are random; `jax.random.bits` returns one of them.
  # Those that follow, of a key of 'rbg', repeat the two.
  bits = jax.random.key_data(jax.random.split(key, -(-count // 4)))[:, :2]
  return jax.lax.bitcast_convert_type(bits, jnp.uint16).reshape(-1)[:count]


def _below(bits: Array, images: Array) -> Array:
  """Returns whether bits / 65536 < pixel / 255, in integers."""
  levels = (bits.reshape(images.shape).astype(jnp.uint32) * 255) >> 16
  return levels < images.astype(jnp.uint32)


def dequantise(key: Key, images: Array) -> Array:
  """Draws x = (pixel + u) / 256, u ~ Uniform(0, 1).

  For any density p on [0, 1], -E_u[log2 p(x)] + 8 bits per pixel is an upper
  bound on the code length -log2 P(pixel), where P integrates p over the bin of
  each level. Without the noise u, a density on the levels is unbounded.

  Args:
    key: Random key.
    images: 8-bit pixels of any shape.

  Returns:
    Numbers in [0, 1] of the same shape.

  References:
    Theis, van den Oord and Bethge 2016, A Note on the Evaluation of Generative
    Models, section 3.1.
  """
  u = jax.random.uniform(key, images.shape)
  return (_as_float(images) + u) / 256


def _threshold(key: Key, images: Array) -> Array:
  """Maps black to 0 and white to 1."""
  del key  # Deterministic.
  return _as_float(images > 0)


def _scale(key: Key, images: Array) -> Array:
  """Maps 8-bit pixels to pixel / 255."""
  del key  # Deterministic.
  return _as_float(images) / 255


def _identity(key: Key, x: Array) -> Array:
  del key  # Deterministic.
  return _as_float(x)


def _counts(key: Key, x: Array) -> Array:
  """Leaves counts as they are."""
  return _identity(key, x)


def _as_float(x: Array) -> Array:
  return x.astype(jnp.result_type(float))


_WORDS: dict[Preprocess, str] = {
  binarise: 'binarised at each visit, x ~ Bernoulli(pixel / 255)',
  dequantise: 'dequantised at each visit, x = (pixel + u) / 256, u uniform',
  _threshold: 'black is 0 and white is 1',
  _scale: 'x = pixel / 255',
  _identity: 'taken as stored',
  _counts: 'whole numbers, taken as stored',
}


def at_each_visit(preprocess: Preprocess) -> Preprocess:
  """Returns the fast form of a result of `make_preprocess`, for training.

  A split that is binarised once keeps the draws of `binarise`.
  """
  return binarise_fast if preprocess is binarise else preprocess


def describe_preprocess(preprocess: Preprocess) -> str:
  """Returns in words what a result of `make_preprocess` does to the data."""
  return _WORDS[preprocess]


def make_preprocess(
  x: Examples,
  *,
  support: str,
  binarisation: str = 'dynamic',
  dataset: str = 'x',
  likelihood: str = 'the likelihood',
  likelihoods: Mapping[str, str] | None = None,
) -> Preprocess:
  """Returns the function that maps stored data into a likelihood's support.

  8-bit pixels are binarised for BINARY, scaled to pixel / 255 for PIXELS, and
  dequantised for UNIT and REALS. Real numbers and counts are left as they
  are.

  Args:
    x: Data as stored, 8-bit pixels (uint8), counts (other integers) or real
      numbers, `[N, ...]`.
    support: Support of the likelihood, one of `vae_jax.models.supports`.
    binarisation: 'dynamic' to draw binary pixels with each key; 'none' to
      require black and white images.
    dataset: Name of the data in messages.
    likelihood: Name of the likelihood in messages.
    likelihoods: Name -> support of the likelihoods that a message may suggest
      instead.

  Raises:
    UserError: The data are outside the support.
    ValueError: The value of `binarisation` is unknown.
  """
  if binarisation not in ('dynamic', 'none'):
    raise ValueError(
      f"binarisation: got {binarisation!r}, expected 'dynamic' or 'none'"
    )
  flag = lambda *supports: _likelihood_flag(likelihoods or {}, supports)
  fitting = _fitting(x)
  if support not in fitting:
    others = flag(*fitting)
    raise UserError(
      f'dataset {dataset!r}: has {_kind(x)}, but {likelihood} is a '
      f'distribution over {support}' + (f'; use {others}' if others else '')
    )
  if support == COUNTS:
    return _counts
  if not (isinstance(x, Streamed) or x.dtype == np.uint8):
    return _identity
  if support != BINARY:
    return _scale if support == PIXELS else dequantise
  if binarisation != 'none':
    return binarise
  grey = grey_share(x)
  if grey:
    others = flag(UNIT, REALS, PIXELS)
    raise UserError(
      f'dataset {dataset!r}: has grey pixels ({grey:.0%} of all '
      f'pixels), but {likelihood} is a distribution over {BINARY}; use '
      '--binarisation=dynamic' + (f', or {others}' if others else '')
    )
  return _threshold


def _fitting(x: Examples) -> tuple[str, ...]:
  """Returns the supports that data as stored fit, if need be binarised."""
  if isinstance(x, Streamed) or x.dtype == np.uint8:
    return BINARY, UNIT, REALS, PIXELS
  if x.dtype.kind in 'iu':
    return (COUNTS,)
  return (UNIT, REALS) if x.min() >= 0 and x.max() <= 1 else (REALS,)


def _kind(x: Examples) -> str:
  """Returns in words what is stored."""
  if isinstance(x, Streamed) or x.dtype == np.uint8:
    return '8-bit pixels'
  low, high = x.min(), x.max()
  if x.dtype.kind in 'iu':
    return f'counts from {low} to {high}'
  return f'real numbers from {low:.3g} to {high:.3g}'


def _likelihood_flag(
  likelihoods: Mapping[str, str], supports: Sequence[str]
) -> str:
  """Returns the flag with all likelihoods of these supports, '' if none."""
  names = [name for name, each in likelihoods.items() if each in supports]
  if not names:
    return ''
  *first, last = names
  return '--likelihood=' + (f'{", ".join(first)} or ' if first else '') + last


def preprocess_once(
  preprocess: Preprocess, key: Key, x: np.ndarray
) -> np.ndarray:
  """Preprocesses a whole split, such as a test set that is binarised once.

  Args:
    preprocess: Result of `make_preprocess`.
    key: Random key; the same key gives the same result.
    x: Data as stored, `[N, ...]`.

  Returns:
    Preprocessed data of the same shape, uint8 if binary.
  """
  binary = preprocess in (binarise, _threshold)
  dtype = jnp.uint8 if binary else jnp.result_type(float)
  one = lambda pair: preprocess(*pair).astype(dtype)
  # In chunks, because a copy of the whole split in floating point may not fit.
  whole = quick_jit(
    lambda key, x: jax.lax.map(
      one, (jax.random.split(key, len(x)), x), batch_size=1000
    )
  )
  return np.asarray(whole(key, jax.device_put(x)))
