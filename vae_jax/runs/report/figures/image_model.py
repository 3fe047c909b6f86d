"""A trained model as functions of images, for the figures."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax import plots
from vae_jax.distributions import Chain, Distribution
from vae_jax.evaluate import (
  count_examples,
  evaluation_keys,
  map_chunks,
  take,
)
from vae_jax.models import Inference, LatentModel
from vae_jax.models.quick_jit import quick_jit
from vae_jax.types import Array, Key, Params

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
      q(z|x) where z is discrete and its mean is not one of its values. Of
      several layers a dict, the means of q's conditionals one after another.
    decode: Tiles of the means of p(x|z) in [0, 1], `[N, Z]` ->
      `[N, h, w, c]`, as `plots.thumbnails` returns them.
    posterior: Family of q(z|x), without values.
    prior: Prior p(z).
    likelihood: Family of p(x|z), without values.
    images: Images as stored, uint8 `[N, H, W, C]`.
    preprocessed: The same images as the likelihood takes them.
    split: Name of their split.
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
  latent: str = 'z'
  note: str = ''

  def originals(self, index: Any) -> np.ndarray:
    """Returns tiles of some images as stored."""
    return plots.thumbnails(self.images[index] / 255)

  @property
  def of_z(self) -> str:
    """Words for the image that a z decodes to."""
    means = f'means of p(.|{self.latent})'
    return f'E[x | {means if self.note else self.latent}]'

  @property
  def of_x(self) -> str:
    """Words for z of an image x."""
    if isinstance(self.posterior, Chain):
      return ', '.join(f'{z} = E q({z}|...)' for z in self.posterior.order)
    z = self.latent
    drawn = self.posterior.is_discrete
    return f'{z} ~ q({z}|x)' if drawn else f'{z} = E q({z}|x)'


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
  first = jax.device_put(preprocessed[0].astype(jnp.result_type(float)))
  encode = lambda x: model.condition(params, x).posterior
  decode = lambda z: model.condition(params, first).likelihood(z)
  posterior = jax.eval_shape(encode, first)
  likelihood = jax.eval_shape(
    lambda key: decode(encode(first).sample(key)), jax.random.key(0)
  )

  def latent_of(key: Key, index: Array, x: Array) -> Array:
    # The first keys of this parent are those of the prior samples.
    key = jax.random.fold_in(jax.random.fold_in(key, _OTHER), index)
    q = encode(x.astype(jnp.result_type(float)))
    return q.sample(key) if q.is_discrete else mean_of(q)

  def encode_all(x: np.ndarray) -> Any:
    key = evaluation_keys().figures
    some = lambda index: latents(key, *jax.device_put((index, x[index])))
    return jax.tree.map(np.asarray, map_chunks(some, len(x), _ENCODED))

  latents = quick_jit(jax.vmap(latent_of, (None, 0, 0)))

  return Model(
    encode=encode_all,
    decode=make_decode(decode, images[0].size),
    posterior=posterior,
    prior=quick_jit(lambda: model.condition(params, first).prior)(),
    likelihood=likelihood,
    images=images,
    preprocessed=preprocessed,
    split=split,
  )


def make_decode(
  decode: Callable[[Any], Distribution], image_size: int
) -> Callable[[Any], np.ndarray]:
  """Compiles z, `[N, Z]` -> tiles of the means of p(x|z).

  Args:
    decode: One z -> p(x|z).
    image_size: Numbers in one image.
  """
  # The mean of a normal likelihood may lie outside [0, 1].
  images_of = quick_jit(jax.vmap(lambda z: jnp.clip(decode(z).mean(), 0, 1)))
  # Whole images of 256 z may take gigabytes.
  size = max(1, min(_DECODED, _NUMBERS // max(1, image_size)))

  def decode_all(z: Any) -> np.ndarray:
    tiles = lambda index: plots.thumbnails(
      np.asarray(images_of(jax.device_put(take(z, index))))
    )
    return np.asarray(map_chunks(tiles, count_examples(z), size))

  return decode_all


def mean_of(q: Distribution) -> Any:
  """Returns E_q[z]; of a Chain each part's mean, given those before it."""
  if not isinstance(q, Chain):
    return q.mean()
  z: dict[str, Any] = {}
  for name in q.order:
    z[name] = q.part(name, z).mean()
  return z


def has_mean(q: Distribution) -> bool:
  """Returns whether `mean_of` is in closed form."""
  if not isinstance(q, Chain):
    return q.has_moments
  try:
    jax.eval_shape(mean_of, q)
  except TypeError:
    return False
  return True


def top_of(model: Model, condition: Callable[[], Inference]) -> Model:
  """Returns the model whose z is the top layer of a hierarchy.

  Args:
    model: A model whose prior is a Chain.
    condition: Conditions it on its first image.
  """
  chain: Any = model.prior
  top, *below = chain.order

  def decode(z: Array) -> Distribution:
    inference = condition()
    prior: Any = inference.prior
    known = {top: z}
    for name in below:
      known[name] = prior.part(name, known).mean()
    return inference.likelihood(known)

  def top_posterior(q: Any) -> Distribution:
    return q.part(top, q.sample(jax.random.key(0)))

  return model._replace(
    encode=lambda x: model.encode(x)[top],
    decode=make_decode(decode, model.images[0].size),
    posterior=jax.eval_shape(top_posterior, model.posterior),
    prior=chain.parts[top],
    latent=top,
    note=f' {top} is the top layer; those below are at the means of p.',
  )
