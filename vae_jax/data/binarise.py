"""From stored pixels or numbers to what the likelihood takes."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.config import Config
from vae_jax.errors import UserError
from vae_jax.types import Array, Key

# (key, images as stored) -> float32 of the same shape
Prepare = Callable[[Key, Array], Array]


def binarise(key: Key, images: Array) -> Array:
  """Draws x ~ Bernoulli(pixel / 255), float32, of the images' shape.

  Dynamic binarisation when called anew at each visit.

  References:
    Burda, Grosse and Salakhutdinov 2015, section 5.
  """
  probabilities = images.astype(jnp.float32) / 255
  return jax.random.bernoulli(key, probabilities).astype(jnp.float32)


def _as_ones(key: Key, images: Array) -> Array:
  del key  # Nothing is drawn.
  return (images > 0).astype(jnp.float32)


def _as_reals(key: Key, images: Array) -> Array:
  """Returns pixels as fractions of white, and real numbers as they are."""
  del key
  if images.dtype == jnp.uint8:
    return images.astype(jnp.float32) / 255
  return images


def make_prepare(config: Config, images: np.ndarray) -> Prepare:
  """Returns how the flags turn these images into what the likelihood takes.

  * bernoulli: zeros and ones, drawn anew at each visit unless
    --binarisation=none finds them there;
  * any other: pixel / 255, and vectors of real numbers as they are.

  Raises:
    UserError: the likelihood is of zeros and ones and the images are not.
  """
  if config.likelihood != 'bernoulli':
    return _as_reals
  if images.dtype != np.uint8:
    raise UserError(
      f'dataset {config.dataset!r} holds real numbers, and '
      '--likelihood=bernoulli is a distribution over 0 and 1 only: use '
      '--likelihood=normal'
    )
  if config.binarisation == 'none':
    _check_binary(config.dataset, images)
    return _as_ones
  return binarise


def prepare_once(prepare: Prepare, key: Key, images: np.ndarray) -> np.ndarray:
  """Returns a whole split prepared: zeros and ones as uint8, reals float32.

  A function of the key and of nothing else: a test set that is binarised once.
  """
  keys = jax.random.split(key, len(images))
  dtype = jnp.float32 if prepare is _as_reals else jnp.uint8
  one = lambda pair: prepare(*pair).astype(dtype)
  # In chunks, because a float32 copy of the whole set may not fit.
  whole = jax.jit(lambda pairs: jax.lax.map(one, pairs, batch_size=1000))
  return np.asarray(whole((keys, images)))


def _check_binary(name: str, images: np.ndarray) -> None:
  """Raises `UserError` if any pixel is neither black nor white."""
  grey = (images != 0) & (images != 255)
  if grey.any():
    raise UserError(
      f'dataset {name!r} has grey pixels ({np.mean(grey):.0%} of them), and '
      '--likelihood=bernoulli is a distribution over 0 and 1 only: use '
      '--binarisation=dynamic'
    )
