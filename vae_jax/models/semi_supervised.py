"""The semi-supervised VAE M2: a conditional VAE and a classifier q(y|x)."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from vae_jax.distributions import Categorical, Distribution
from vae_jax.models.inference import Inference
from vae_jax.models.vae import ConditionalVAE
from vae_jax.types import Array, Key, Latent, Params


class SemiSupervisedVAE(NamedTuple):
  """p(x|z, y) p(z|y) p(y), q(z|x, y) and q(y|x), for one example.

  p(y) is uniform over the classes. It is a `LatentModel` of examples
  `{'x': x, 'y': y}`: of x given y, as a `ConditionalVAE`.

  Attributes:
    init: `init(key) -> params`, any pytree.
    encode: `encode(params, x, y) -> q(z|x, y)`.
    decode: `decode(params, z, y) -> p(x|z, y)`.
    prior: `prior(params, y) -> p(z|y)`.
    classify: `classify(params, x) -> q(y|x)`, a `Categorical` over `[]`.
    num_classes: number of classes.

  References:
    Kingma, Mohamed, Rezende and Welling 2014, Semi-supervised Learning with
    Deep Generative Models, section 2 (M2).
  """

  init: Callable[[Key], Params]
  encode: Callable[[Params, Array, Array], Distribution]
  decode: Callable[[Params, Latent, Array], Distribution]
  prior: Callable[[Params, Array], Distribution]
  classify: Callable[[Params, Array], Categorical]
  num_classes: int

  def condition(
    self, params: Params, example: Mapping[str, Array]
  ) -> Inference:
    """Returns q(z|x, y), p(z|y), p(x|z, y) and x of one example."""
    return ConditionalVAE(*self[:4]).condition(params, example)
