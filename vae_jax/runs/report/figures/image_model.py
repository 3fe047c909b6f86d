"""A trained model as functions of images, for the figures."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax import plots
from vae_jax.distributions import Distribution
from vae_jax.evaluate import evaluation_keys
from vae_jax.models import LatentModel
from vae_jax.types import Array, Key, Params

# Numbers in the images that are decoded at once.
_DECODED = 2**24
# Index of a key that no split of this parent contains.
_OTHER = 2**30


class Model(NamedTuple):
  """A trained model and the images to draw.

  Attributes:
    encode: z of images, `[N, H, W, C]` -> `[N, Z]`: E_q[z|x], or a draw of
      q(z|x) where z is discrete and its mean is not one of its values.
    decode: Tiles of the means of p(x|z) in [0, 1], `[N, Z]` ->
      `[N, h, w, c]`, as `plots.thumbnails` returns them.
    posterior: Family of q(z|x), without values.
    prior: Prior p(z).
    likelihood: Family of p(x|z), without values.
    images: Images as stored, uint8 `[N, H, W, C]`.
    preprocessed: The same images as the likelihood takes them.
    split: Name of their split.
  """

  encode: Callable[[np.ndarray], Array]
  decode: Callable[[Array], np.ndarray]
  posterior: Distribution
  prior: Distribution
  likelihood: Distribution
  images: np.ndarray
  preprocessed: np.ndarray
  split: str = 'test'

  def originals(self, index: Any) -> np.ndarray:
    """Returns tiles of some images as stored."""
    return plots.thumbnails(self.images[index] / 255)

  @property
  def of_x(self) -> str:
    """Words for z of an image x."""
    return 'z ~ q(z|x)' if self.posterior.is_discrete else 'z = E q(z|x)'


def make_model(
  model: LatentModel,
  params: Params,
  images: np.ndarray,
  preprocessed: np.ndarray,
  split: str = 'test',
) -> Model:
  """Binds the parameters of a model and compiles its encoder and decoder.

  The prior and p(x|z) are those given the first example. They are the same
  for all examples, unless the model is conditional.
  """
  first = jnp.asarray(preprocessed[0], float)
  encode = lambda x: model.condition(params, x).posterior
  decode = lambda z: model.condition(params, first).likelihood(z)
  posterior = jax.eval_shape(encode, first)
  likelihood = jax.eval_shape(
    lambda key: decode(encode(first).sample(key)), jax.random.key(0)
  )

  def latent(key: Key, x: Array) -> Array:
    q = encode(x)
    return q.sample(key) if q.is_discrete else q.mean()

  def encode_all(x: np.ndarray) -> Array:
    # The first keys of a split are those of the prior samples.
    key = jax.random.fold_in(evaluation_keys().figures, _OTHER)
    keys = jax.random.split(key, len(x))
    return latents(keys, jnp.asarray(x, float))

  def decode_all(z: Array) -> np.ndarray:
    # Whole images of 256 z may take gigabytes.
    count = max(1, _DECODED // max(1, images[0].size))
    parts = [z[start : start + count] for start in range(0, len(z), count)]
    tiles = [plots.thumbnails(np.asarray(images_of(part))) for part in parts]
    return np.concatenate(tiles)

  latents = jax.jit(jax.vmap(latent))
  # The mean of a normal likelihood may lie outside [0, 1].
  images_of = jax.jit(jax.vmap(lambda z: jnp.clip(decode(z).mean(), 0, 1)))
  return Model(
    encode=encode_all,
    decode=decode_all,
    posterior=posterior,
    prior=jax.jit(lambda: model.condition(params, first).prior)(),
    likelihood=likelihood,
    images=images,
    preprocessed=preprocessed,
    split=split,
  )
