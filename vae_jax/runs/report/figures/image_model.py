"""A trained model as functions of images, for the figures."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax import plots
from vae_jax.data import Condition
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
    encode: z of examples, such as images `[N, H, W, C]` -> `[N, Z]`: E_q[z|x],
      or a draw of q(z|x) where `draws_z`. Of several layers a dict, the means
      of q's conditionals one after another.
    decode: Tiles of the means of p(x|z) in [0, 1], `[N, Z]` ->
      `[N, h, w, c]`, as `plots.thumbnails` returns them. A conditional model
      takes y from examples, `decode(z, examples)`, or else from the first.
    sample: A draw of p(z|y) for each key and example, `[N, Z]`.
    posterior: Family of q(z|x), without values.
    prior: Prior p(z).
    likelihood: Family of p(x|z), without values.
    images: Images as stored, uint8 or counts, `[N, H, W, C]`.
    preprocessed: The same examples as the likelihood takes them.
    split: Name of their split.
    at_size: Sentence on the size factor of every p(x|z), '' without one.
    latent: Name of z, that of the top layer where z is this alone.
    note: Sentence for the captions.
    condition: Classes or covariates of the training split; None for a model
      without conditions.
    pseudo_inputs: Those of a VampPrior in [0, 1], `[M, H, W, C]`; or None.
  """

  encode: Callable[[Any], Any]
  decode: Callable[..., np.ndarray]
  sample: Callable[[Key, Any], np.ndarray]
  posterior: Distribution
  prior: Distribution
  likelihood: Distribution
  images: np.ndarray
  preprocessed: Any
  split: str = 'test'
  at_size: str = ''
  latent: str = 'z'
  note: str = ''
  condition: Condition | None = None
  pseudo_inputs: np.ndarray | None = None

  def originals(self, index: Any) -> np.ndarray:
    """Returns tiles of some images as stored."""
    some = np.nan_to_num(self.images[index])  # NaN is a missing pixel.
    return plots.thumbnails(some / white_of(self.images))

  @property
  def draws_z(self) -> bool:
    """True if z of an image is a draw, instead of E_q[z|x]."""
    return _draws_z(self.posterior)

  def inputs(self, count: int) -> dict[str, np.ndarray]:
    """Returns tiles of the first images, and of what q sees of them."""
    some = take(self.preprocessed, slice(count))
    found = {'original': self.originals(slice(count))}
    x = some['x'] if isinstance(some, dict) else some
    if isinstance(some, dict) and 'mask' in some:
      is_binary = x.dtype == np.uint8
      seen = x if is_binary else self.images[:count] / white_of(self.images)
      found['observed'] = plots.thumbnails(np.where(some['mask'], seen, 0.0))
    elif x.dtype == np.uint8:
      found['binarised'] = plots.thumbnails(x.astype(np.float64))
    return found

  @property
  def of_x(self) -> str:
    """Words for z of an image x."""
    if isinstance(self.posterior, Chain) and not self.draws_z:
      return ', '.join(f'{z} = E q({z}|...)' for z in self.posterior.order)
    z, q = self.latent, f'q({self.latent}|x{self.given})'
    return f'{z} ~ {q}' if self.draws_z else f'{z} = E {q}'

  @property
  def of_z(self) -> str:
    """Words for the image that a z decodes to."""
    means = f'means of p(.|{self.latent})'
    return f'E[x | {means if self.note else self.latent}{self.given}]'

  @property
  def given(self) -> str:
    """', y' for a conditional model, else ''."""
    return ', y' if self.condition else ''


def _draws_z(q: Distribution) -> bool:
  # The mean of a discrete z is not one of its values; a flow has none in closed
  # form.
  return q.is_discrete or not has_mean(q)


def _latent(q: Distribution, key: Key, index: Array) -> Any:
  # The first keys of this parent are those of the prior samples.
  key = jax.random.fold_in(jax.random.fold_in(key, _OTHER), index)
  return plain(q.sample(key)) if _draws_z(q) else mean_of(q)


def white_of(images: np.ndarray) -> int:
  """Returns the stored number that is drawn white: the largest of counts."""
  if images.dtype == np.uint8:
    return 255
  return max(1, int(np.nanmax(images)))


def example_given(
  model: LatentModel, first: Any, preprocessed: Any
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
  white = 1 if images.dtype == np.uint8 else white_of(images)
  return jnp.clip(mean / white, 0, 1)


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
  for all examples, unless the model is conditional. With a size factor they
  are those of the mean size of the images.
  """
  first = first_of(preprocessed)
  example, at_size = example_given(model, first, preprocessed)
  encode = lambda x: model.condition(params, x).posterior
  decode = lambda z: model.condition(params, example).likelihood(z)
  posterior = jax.eval_shape(encode, first)
  likelihood = jax.eval_shape(
    lambda key: decode(encode(first).sample(key)), jax.random.key(0)
  )

  latent_of = lambda key, index, x: _latent(encode(_as_float(x)), key, index)

  def encode_all(x: Any) -> Any:
    key = evaluation_keys().figures
    some = lambda index: latents(key, *jax.device_put((index, take(x, index))))
    found = map_chunks(some, count_examples(x), _ENCODED)
    return jax.tree.map(np.asarray, found)

  latents = quick_jit(jax.vmap(latent_of, (None, 0, 0)))
  given = lambda x: model.condition(params, _as_float(x))
  prior_draws = _compiled(lambda own: given(own[1]).prior.sample(own[0]))
  return Model(
    encode=encode_all,
    decode=make_decode(decode, images, lambda z, x: given(x).likelihood(z)),
    sample=lambda keys, x: np.asarray(prior_draws((keys, x))),
    posterior=posterior,
    prior=quick_jit(lambda: model.condition(params, example).prior)(),
    likelihood=likelihood,
    images=images,
    preprocessed=preprocessed,
    split=split,
    at_size=at_size,
    condition=condition,
    pseudo_inputs=_pseudo_inputs(params, images),
  )


def _pseudo_inputs(params: Params, images: np.ndarray) -> np.ndarray | None:
  learned = params.get('prior') if isinstance(params, dict) else None
  if not isinstance(learned, dict) or 'pseudo_inputs' not in learned:
    return None
  shown = _shown(jnp.asarray(learned['pseudo_inputs']), images)
  return np.asarray(shown).reshape(-1, *images.shape[1:])


def make_decode(
  decode: Callable[[Any], Distribution],
  images: np.ndarray,
  of_example: Callable[[Any, Any], Distribution] | None = None,
) -> Callable[..., np.ndarray]:
  """Compiles z, `[N, Z]` -> tiles of the means of p(x|z).

  Args:
    decode: One z -> p(x|z).
    images: Images as stored, of which the tiles have the size and the white.
    of_example: One z and the example that it is given -> p(x|z, y); None for
      decode.
  """
  images_of = _compiled(lambda z: _shown(decode(z).mean(), images))
  of = of_example or (lambda z, x: decode(z))
  given_of = _compiled(lambda own: _shown(of(*own).mean(), images))
  # Whole images of 256 z may take gigabytes.
  size = max(1, min(_DECODED, _NUMBERS // max(1, images[0].size)))

  def decode_all(z: Any, examples: Any = None) -> np.ndarray:
    own, one = (z, images_of) if examples is None else ((z, examples), given_of)
    tiles = lambda index: plots.thumbnails(np.asarray(one(take(own, index))))
    return np.asarray(map_chunks(tiles, count_examples(z), size))

  return decode_all


def first_of(examples: Any) -> Any:
  """Returns the first example, on the device and in the default precision."""
  return jax.device_put(_as_float(take(examples, 0)))


def _as_float(example: Any) -> Any:
  """Casts x, of any dtype, to the default precision; y keeps its own."""
  if isinstance(example, dict):
    return {**example, 'x': _as_float(example['x'])}
  return example.astype(jnp.result_type(float))
