"""A trained model as functions of images, for the figures."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax import plots
from vae_jax.distributions import Chain, Distribution
from vae_jax.distributions.logged_draw import plain
from vae_jax.evaluate import (
  count_examples,
  evaluation_keys,
  map_chunks,
  take,
)
from vae_jax.models import LatentModel, SizeFactorVAE
from vae_jax.models.quick_jit import quick_jit
from vae_jax.runs.report.figures.means import has_mean, mean_of
from vae_jax.types import Array, Example, Key, Params

# Images that are encoded at once and z that are decoded at once, in every
# figure: one program each.
_ENCODED, _DECODED = 16, 256
# Numbers in the images that are decoded at once, at most.
_NUMBERS = 2**24
# Index of a key that no split of this parent contains.
_OTHER = 2**30


class Model(NamedTuple):
  """A trained model and the images to draw.

  Attributes:
    encode: z of images, `[N, H, W, C]` -> `[N, Z]`: E_q[z|x], or a draw of
      q(z|x) where `draws_z`. Of several layers a dict, the means of q's
      conditionals one after another.
    decode: Tiles of the means of p(x|z) in [0, 1], `[N, Z]` ->
      `[N, h, w, c]`, as `plots.thumbnails` returns them.
    posterior: Family of q(z|x), without values.
    prior: Prior p(z).
    likelihood: Family of p(x|z), without values.
    images: Images as stored, uint8 or counts, `[N, H, W, C]`.
    preprocessed: The same images as the likelihood takes them.
    split: Name of their split.
    given: Sentence on the condition of every p(x|z), '' without one.
    latent: Name of z, that of the top layer where z is this alone.
    note: Sentence for the captions.
  """

  encode: Callable[[np.ndarray], Any]
  decode: Callable[[Any], np.ndarray]
  posterior: Distribution
  prior: Distribution
  likelihood: Distribution
  images: np.ndarray
  preprocessed: np.ndarray
  split: str = 'test'
  given: str = ''
  latent: str = 'z'
  note: str = ''

  def originals(self, index: Any) -> np.ndarray:
    """Returns tiles of some images as stored."""
    return plots.thumbnails(self.images[index] / _white(self.images))

  @property
  def draws_z(self) -> bool:
    """True if z of an image is a draw, instead of E_q[z|x]."""
    return _draws_z(self.posterior)

  @property
  def of_x(self) -> str:
    """Words for z of an image x."""
    if isinstance(self.posterior, Chain) and not self.draws_z:
      return ', '.join(f'{z} = E q({z}|...)' for z in self.posterior.order)
    z = self.latent
    return f'{z} ~ q({z}|x)' if self.draws_z else f'{z} = E q({z}|x)'

  @property
  def of_z(self) -> str:
    """Words for the image that a z decodes to."""
    means = f'means of p(.|{self.latent})'
    return f'E[x | {means if self.note else self.latent}]'


def _draws_z(q: Distribution) -> bool:
  # The mean of a discrete z is not one of its values; a flow has none in closed
  # form.
  return q.is_discrete or not has_mean(q)


def _white(images: np.ndarray) -> int:
  """Returns the stored number that is drawn white: the largest of counts."""
  return 255 if images.dtype == np.uint8 else max(1, int(np.max(images)))


def _condition(
  model: LatentModel, first: Array, preprocessed: np.ndarray
) -> tuple[Example, str]:
  """Returns the example that p(x|z) is given, and a sentence on it."""
  if not isinstance(model, SizeFactorVAE):
    return first, ''
  sizes = model.with_sizes(jax.device_put(preprocessed))['size']
  size = np.mean(sizes, dtype=jnp.result_type(float))
  words = f' Every mean is that at the size factor {size:.4g}.'
  return {'x': first, 'size': jax.device_put(size)}, words


def _shown(mean: Array, images: np.ndarray) -> Array:
  """Returns a mean of p(x|z) in [0, 1]; that of a normal may lie outside."""
  # Pixels are scaled to [0, 1] by the preprocessing, counts are not.
  white = 1 if images.dtype == np.uint8 else _white(images)
  return jnp.clip(mean / white, 0, 1)


def make_model(
  model: LatentModel,
  params: Params,
  images: np.ndarray,
  preprocessed: np.ndarray,
  split: str = 'test',
) -> Model:
  """Binds the parameters of a model and compiles its encoder and decoder.

  The prior and p(x|z) are those given the first example. They are the same
  for all examples, unless the model is conditional. With a size factor they
  are those of the mean size of the images.
  """
  first = jax.device_put(preprocessed[0].astype(jnp.result_type(float)))
  example, given = _condition(model, first, preprocessed)
  encode = lambda x: model.condition(params, x).posterior
  decode = lambda z: model.condition(params, example).likelihood(z)
  posterior = jax.eval_shape(encode, first)
  likelihood = jax.eval_shape(
    lambda key: decode(encode(first).sample(key)), jax.random.key(0)
  )

  def latent_of(key: Key, index: Array, x: Array) -> Array:
    # The first keys of this parent are those of the prior samples.
    key = jax.random.fold_in(jax.random.fold_in(key, _OTHER), index)
    q = encode(x.astype(jnp.result_type(float)))
    return plain(q.sample(key)) if _draws_z(q) else mean_of(q)

  def encode_all(x: np.ndarray) -> Any:
    key = evaluation_keys().figures
    some = lambda index: latents(key, *jax.device_put((index, x[index])))
    return jax.tree.map(np.asarray, map_chunks(some, len(x), _ENCODED))

  latents = quick_jit(jax.vmap(latent_of, (None, 0, 0)))

  return Model(
    encode=encode_all,
    decode=make_decode(decode, images),
    posterior=posterior,
    prior=quick_jit(lambda: model.condition(params, example).prior)(),
    likelihood=likelihood,
    images=images,
    preprocessed=preprocessed,
    split=split,
    given=given,
  )


def make_decode(
  decode: Callable[[Any], Distribution], images: np.ndarray
) -> Callable[[Any], np.ndarray]:
  """Compiles z, `[N, Z]` -> tiles of the means of p(x|z).

  Args:
    decode: One z -> p(x|z).
    images: Images as stored, of which the tiles have the size and the white.
  """
  images_of = quick_jit(jax.vmap(lambda z: _shown(decode(z).mean(), images)))
  # Whole images of 256 z may take gigabytes.
  size = max(1, min(_DECODED, _NUMBERS // max(1, images[0].size)))

  def decode_all(z: Any) -> np.ndarray:
    tiles = lambda index: plots.thumbnails(
      np.asarray(images_of(jax.device_put(take(z, index))))
    )
    return np.asarray(map_chunks(tiles, count_examples(z), size))

  return decode_all
