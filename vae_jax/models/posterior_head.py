"""The head of a posterior: what the encoder returns, and q(z|x) from it."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from vae_jax.distributions import Distribution
from vae_jax.types import Array, Key, Params

# Name of an output of the encoder -> its shape.
Outputs = dict[str, tuple[int, ...]]


def _no_params(key: Key) -> Params:
  del key
  return {}


class PosteriorHead(NamedTuple):
  """A family of q(z|x) over latents of one size.

  Attributes:
    outputs: name and shape of each output of the encoder.
    make: `make(params, outputs) -> q(z|x)`.
    init: `init(key) -> params`, a dict of what is learned beside the network.
    features: z -> input of the decoder, `[num_features]`; None for z itself.
    num_features: size of the decoder's input; None for the size of z.
  """

  outputs: Outputs
  make: Callable[[Params, Mapping[str, Array]], Distribution]
  init: Callable[[Key], Params] = _no_params
  features: Callable[[Any], Array] | None = None
  num_features: int | None = None
