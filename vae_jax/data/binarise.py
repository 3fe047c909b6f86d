"""From uint8 pixels to what a likelihood of zeros and ones takes."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.errors import UserError
from vae_jax.types import Array, Key

# (key, uint8 images) -> float32 of the same shape
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


def make_prepare(binarisation: str) -> Prepare:
  """Returns the function behind --binarisation: 'dynamic' or 'none'."""
  return {'dynamic': binarise, 'none': _as_ones}[binarisation]


def prepare_once(prepare: Prepare, key: Key, images: np.ndarray) -> np.ndarray:
  """Returns a whole split as zeros and ones, uint8.

  A function of the key and of nothing else: a test set that is binarised once.
  """
  keys = jax.random.split(key, len(images))
  one = lambda pair: prepare(*pair).astype(jnp.uint8)
  # In chunks, because a float32 copy of the whole set may not fit.
  whole = jax.jit(lambda pairs: jax.lax.map(one, pairs, batch_size=1000))
  return np.asarray(whole((keys, images)))


def check_binary(name: str, images: np.ndarray) -> None:
  """Raises `UserError` if any pixel is neither black nor white."""
  grey = (images != 0) & (images != 255)
  if grey.any():
    raise UserError(
      f'dataset {name!r} has grey pixels ({np.mean(grey):.0%} of them), and '
      '--likelihood=bernoulli is a distribution over 0 and 1 only: use '
      '--binarisation=dynamic'
    )
