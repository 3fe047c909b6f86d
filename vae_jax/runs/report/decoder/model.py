"""Decoder of a model as a function of its bound arrays, z and y."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions import Categorical, Chain, Distribution
from vae_jax.distributions.masked import Masked
from vae_jax.models import LatentModel
from vae_jax.models.quick_jit import quick_jit
from vae_jax.runs.report.decoder.emitter import UnsupportedError
from vae_jax.runs.report.figures.image_model import example_given, first_of
from vae_jax.runs.report.figures.layers import complete
from vae_jax.runs.report.figures.quantiles import QUANTILES
from vae_jax.types import Array, Params

# Quantiles of the prior between which a slider moves.
_LEVELS = (0.001, 0.999)


class Decoder(NamedTuple):
  """The decoder of a model, p(x|z) or p(x|z, y).

  Attributes:
    function: `function(bound, z)`, or `(bound, z, y)` of a conditional model,
      -> the mean of p(x|z) and its parameters, by name.
    bound: parameters, and the example that p(x|z) is given.
    latent: name of z, that of the top layer of a hierarchy.
    z: shape and dtype of z.
    ends: lowest and highest value of each unit in the prior, `[2, Z]`; None
      where its quantiles are not known.
    is_discrete: whether z takes whole values only.
    is_conditional: whether there is a y.
    note: sentences on what z does not decide, or ''.
  """

  function: Callable[..., dict[str, Array]]
  bound: Any
  latent: str
  z: jax.ShapeDtypeStruct
  ends: np.ndarray | None
  is_discrete: bool
  is_conditional: bool
  note: str


def make_decoder(
  model: LatentModel, params: Params, preprocessed: Any
) -> Decoder:
  """Makes the decoder of a model.

  Args:
    model: any `LatentModel`.
    params: its parameters.
    preprocessed: examples as the likelihood takes them, `[N, ...]`; with their
      conditions `{'x': ..., 'y': ...}`.

  Raises:
    UnsupportedError: z is not a vector.
  """
  example, note = example_given(model, first_of(preprocessed), preprocessed)
  bound = params, example
  prior = jax.eval_shape(lambda bound: model.condition(*bound).prior, bound)
  latent = 'z'
  if isinstance(prior, Chain):
    latent = prior.order[0]
    note += (
      f' {latent} is the top layer; the layers below are at the means of p.'
    )
  z = jax.eval_shape(
    lambda bound: _top(model.condition(*bound).prior).sample(jax.random.key(0)),
    bound,
  )
  shape = getattr(z, 'shape', None)
  if shape is None or len(shape) != 1:
    raise UnsupportedError(f'{latent} is not a vector')
  top = jax.eval_shape(lambda bound: _top(model.condition(*bound).prior), bound)
  z = jax.ShapeDtypeStruct(shape, z.dtype)
  is_conditional = isinstance(example, dict) and 'y' in example
  return Decoder(
    lambda bound, *inputs: _decode(model, *bound, *inputs),
    bound,
    latent,
    z,
    _ends(model, bound, top),
    top.is_discrete,
    is_conditional,
    note.strip(),
  )


def _top(prior: Any) -> Any:
  return prior.parts[prior.order[0]] if isinstance(prior, Chain) else prior


def _decode(
  model: LatentModel, params: Params, example: Any, z: Array, y: Any = None
) -> dict[str, Array]:
  """Returns the mean of p(x|z), and its parameters by name."""
  given = example if y is None else {**example, 'y': y}
  inference = model.condition(params, given)
  prior = inference.prior
  known = complete(prior, z) if isinstance(prior, Chain) else z
  p: Any = inference.likelihood(known)
  if not p.has_moments:
    raise UnsupportedError(f'p(x|z), {p.name}, has no closed-form mean')
  named = jax.tree_util.tree_flatten_with_path(
    p.base if isinstance(p, Masked) else p
  )[0]
  name = lambda path: jax.tree_util.keystr(path, simple=True, separator='.')
  is_array = lambda leaf: isinstance(leaf, jax.Array | np.ndarray)
  own = {name(path): leaf for path, leaf in named if is_array(leaf)}
  return {**own, 'mean': p.mean()}


def _ends(
  model: LatentModel, bound: Any, prior: Distribution
) -> np.ndarray | None:
  """Returns the ends of the sliders by the prior, `[2, Z]`, or None."""
  size = prior.shape[0]
  if prior.is_discrete:
    most = 1
    if isinstance(prior, Categorical):
      labels = jax.eval_shape(lambda p: p.log_probabilities, prior)
      most = labels.shape[-1] - 1
    return np.tile(np.array([[0.0], [most]]), (1, size))
  quantile = QUANTILES.get(type(prior))
  if quantile is None:
    return None

  def ends(bound: Any, levels: Array) -> Array:
    prior = _top(model.condition(*bound).prior)
    at = lambda u: quantile(prior, jnp.broadcast_to(u, prior.shape))
    return jax.vmap(at)(levels)

  levels = np.asarray(_LEVELS, jnp.result_type(float))
  return np.asarray(quick_jit(ends)(bound, levels), np.float64)
