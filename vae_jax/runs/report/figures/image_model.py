"""A trained model as functions of images, for the figures."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax import plots
from vae_jax.data import Condition
from vae_jax.distributions import Distribution
from vae_jax.evaluate import (
  count_examples,
  evaluation_keys,
  map_chunks,
  take,
)
from vae_jax.models import LatentModel
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
    encode: z of examples, such as images `[N, H, W, C]` -> `[N, Z]`: E_q[z|x],
      or a draw of q(z|x) where z is discrete and its mean is not one of its
      values.
    decode: Tiles of the means of p(x|z) in [0, 1], `[N, Z]` ->
      `[N, h, w, c]`, as `plots.thumbnails` returns them. A conditional model
      takes y from examples, `decode(z, examples)`, or else from the first.
    sample: A draw of p(z|y) for each key and example, `[N, Z]`.
    posterior: Family of q(z|x), without values.
    prior: Prior p(z).
    likelihood: Family of p(x|z), without values.
    images: Images as stored, uint8 `[N, H, W, C]`.
    preprocessed: The same examples as the likelihood takes them.
    split: Name of their split.
    condition: Classes or covariates of the training split; None for a model
      without conditions.
  """

  encode: Callable[[Any], np.ndarray]
  decode: Callable[..., np.ndarray]
  sample: Callable[[Key, Any], np.ndarray]
  posterior: Distribution
  prior: Distribution
  likelihood: Distribution
  images: np.ndarray
  preprocessed: Any
  split: str = 'test'
  condition: Condition | None = None

  def originals(self, index: Any) -> np.ndarray:
    """Returns tiles of some images as stored."""
    return plots.thumbnails(self.images[index] / 255)

  def inputs(self, count: int) -> dict[str, np.ndarray]:
    """Returns tiles of the first images, and of what q sees of them."""
    some = take(self.preprocessed, slice(count))
    found = {'original': self.originals(slice(count))}
    x = some['x'] if isinstance(some, dict) else some
    if isinstance(some, dict) and 'mask' in some:
      seen = x if x.dtype == np.uint8 else self.images[:count] / 255
      found['observed'] = plots.thumbnails(seen * some['mask'].astype(float))
    elif x.dtype == np.uint8:
      found['binarised'] = plots.thumbnails(x.astype(np.float64))
    return found

  @property
  def of_x(self) -> str:
    """Words for z of an image x."""
    q = f'q(z|x{self.given})'
    return f'z ~ {q}' if self.posterior.is_discrete else f'z = E {q}'

  @property
  def given(self) -> str:
    """', y' for a conditional model, else ''."""
    return ', y' if self.condition else ''


def _latent(q: Distribution, key: Key, index: Array) -> Array:
  # The first keys of this parent are those of the prior samples.
  key = jax.random.fold_in(jax.random.fold_in(key, _OTHER), index)
  z: Array = q.sample(key) if q.is_discrete else q.mean()
  return z


def _image(p: Distribution) -> Array:
  # The mean of a normal likelihood may lie outside [0, 1].
  return jnp.clip(p.mean(), 0, 1)


def _compiled(one: Callable[[Any], Array]) -> Callable[[Any], Array]:
  """Compiles a function of one pytree for many."""
  many: Callable[[Any], Array] = quick_jit(jax.vmap(one))
  return lambda own: many(jax.device_put(own))


def make_model(
  model: LatentModel,
  params: Params,
  images: np.ndarray,
  preprocessed: Any,
  split: str = 'test',
  condition: Condition | None = None,
) -> Model:
  """Binds the parameters of a model and compiles its encoder and decoder.

  The prior and p(x|z) are those given the first example. They are the same
  for all examples, unless the model is conditional.
  """
  first = jax.device_put(_as_float(take(preprocessed, 0)))
  encode = lambda x: model.condition(params, x).posterior
  decode = lambda z: model.condition(params, first).likelihood(z)
  posterior = jax.eval_shape(encode, first)
  likelihood = jax.eval_shape(
    lambda key: decode(encode(first).sample(key)), jax.random.key(0)
  )

  latent_of = lambda key, index, x: _latent(encode(_as_float(x)), key, index)

  def encode_all(x: Any) -> np.ndarray:
    key = evaluation_keys().figures
    some = lambda index: latents(key, *jax.device_put((index, take(x, index))))
    return np.asarray(map_chunks(some, count_examples(x), _ENCODED))

  def decode_all(z: np.ndarray, examples: Any = None) -> np.ndarray:
    # Whole images of 256 z may take gigabytes.
    count = max(1, min(_DECODED, _NUMBERS // max(1, images[0].size)))
    own, of = (z, images_of) if examples is None else ((z, examples), given_of)
    part = lambda index: jax.device_put(take(own, index))
    tiles = lambda index: plots.thumbnails(np.asarray(of(part(index))))
    return np.asarray(map_chunks(tiles, len(z), count))

  latents = quick_jit(jax.vmap(latent_of, (None, 0, 0)))
  images_of = quick_jit(jax.vmap(lambda z: _image(decode(z))))
  given = lambda x: model.condition(params, _as_float(x))
  given_of = _compiled(lambda own: _image(given(own[1]).likelihood(own[0])))
  prior_draws = _compiled(lambda own: given(own[1]).prior.sample(own[0]))
  return Model(
    encode=encode_all,
    decode=decode_all,
    sample=lambda keys, x: np.asarray(prior_draws((keys, x))),
    posterior=posterior,
    prior=quick_jit(lambda: model.condition(params, first).prior)(),
    likelihood=likelihood,
    images=images,
    preprocessed=preprocessed,
    split=split,
    condition=condition,
  )


def _as_float(example: Any) -> Any:
  """Casts x, of any dtype, to the default precision; y keeps its own."""
  if isinstance(example, dict):
    return {**example, 'x': _as_float(example['x'])}
  return example.astype(jnp.result_type(float))
