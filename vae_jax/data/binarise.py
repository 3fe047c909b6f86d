"""From stored pixels or numbers to what the likelihood takes."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.compatibility import (
  BINARY,
  PIXELS,
  REALS,
  SUPPORTS,
  UNIT,
  likelihoods_of,
)
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


def dequantise(key: Key, images: Array) -> Array:
  """Draws x = (pixel + u) / 256, u ~ Uniform(0, 1), float32, in [0, 1].

  -E_u[log2 p(x)] + 8 bits a pixel is, for any density p, no less than the code
  length -log2 P(pixel) of the discrete law that p makes of whole levels; a
  density of the levels themselves has no bound.

  References:
    Theis, van den Oord and Bethge 2016, A Note on the Evaluation of Generative
    Models, section 3.1.
  """
  u = jax.random.uniform(key, images.shape)
  return (images.astype(jnp.float32) + u) / 256


def _as_levels(key: Key, images: Array) -> Array:
  del key  # Nothing is drawn.
  return images.astype(jnp.float32) / 255


def _as_reals(key: Key, images: Array) -> Array:
  del key  # Nothing is drawn.
  return images


def make_prepare(config: Config, images: np.ndarray) -> Prepare:
  """Returns how the flags turn these images into what the likelihood takes.

  * bernoulli: zeros and ones, drawn anew at each visit unless
    --binarisation=none finds them there;
  * of 8-bit pixels: pixel / 255;
  * of real numbers: pixels dequantised anew at each visit, vectors as they
    are.

  Raises:
    UserError: the likelihood is of other numbers than these.
  """
  if images.dtype != np.uint8:
    _check_fits(config, images)
    return _as_reals
  support = SUPPORTS[config.likelihood]
  if support != BINARY:
    return _as_levels if support == PIXELS else dequantise
  if config.binarisation == 'none':
    _check_binary(config.dataset, images)
    return _as_ones
  return binarise


def prepare_once(prepare: Prepare, key: Key, images: np.ndarray) -> np.ndarray:
  """Returns a whole split prepared: zeros and ones as uint8, reals float32.

  A function of the key and of nothing else: a test set that is binarised once.
  """
  keys = jax.random.split(key, len(images))
  dtype = jnp.uint8 if prepare in (binarise, _as_ones) else jnp.float32
  one = lambda pair: prepare(*pair).astype(dtype)
  # In chunks, because a float32 copy of the whole set may not fit.
  whole = jax.jit(lambda pairs: jax.lax.map(one, pairs, batch_size=1000))
  return np.asarray(whole((keys, images)))


def _check_fits(config: Config, values: np.ndarray) -> None:
  """Raises `UserError` if the likelihood is not of such real numbers."""
  low, high = values.min(), values.max()
  fitting = (UNIT, REALS) if low >= 0 and high <= 1 else (REALS,)
  support = SUPPORTS[config.likelihood]
  if support not in fitting:
    raise UserError(
      f'dataset {config.dataset!r} holds real numbers from {low:.3g} to '
      f'{high:.3g}, and --likelihood={config.likelihood} is a distribution '
      f'over {support} only: use {likelihoods_of(*fitting)}'
    )


def _check_binary(name: str, images: np.ndarray) -> None:
  """Raises `UserError` if any pixel is neither black nor white."""
  grey = (images != 0) & (images != 255)
  if grey.any():
    raise UserError(
      f'dataset {name!r} has grey pixels ({np.mean(grey):.0%} of them), and '
      '--likelihood=bernoulli is a distribution over 0 and 1 only: use '
      f'--binarisation=dynamic, or {likelihoods_of(UNIT, REALS, PIXELS)}'
    )
