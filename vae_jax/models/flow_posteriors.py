"""Posteriors that are flows on a diagonal normal, conditioned on x."""

from collections.abc import Callable, Mapping
from typing import Any

import jax

from vae_jax.distributions import (
  AffineCoupling,
  Distribution,
  MaskedAutoregressive,
  Normal,
  Permutation,
  Transformed,
)
from vae_jax.models.posterior_head import Outputs, PosteriorHead
from vae_jax.models.straight_through import clip_straight_through
from vae_jax.types import Array, Key, Params

# Layers of one network between its inputs and outputs.
_NUM_HIDDEN = 1


def flow_head(
  bijection: type[MaskedAutoregressive] | type[AffineCoupling],
) -> Callable[..., PosteriorHead]:
  """Returns the head of a flow of this bijection.

  z = f_T(... f_1(loc + exp(log_scale) eps)), with the order of the dimensions
  reversed between bijections. The encoder returns loc, log_scale, and a context
  h(x) that is an input of the network of every bijection; the networks
  themselves are parameters beside the encoder. At the start every bijection is
  the identity.

  A draw with its density costs one pass through the bijections. For
  `MaskedAutoregressive`, log q at a given z costs one pass per dimension, one
  after the other: the estimators stl, dreg, adaptive and score_function pay it.

  Args:
    bijection: `MaskedAutoregressive` for inverse autoregressive flow, or
      `AffineCoupling` for RealNVP.

  References:
    Kingma et al. 2016, Improving Variational Inference with Inverse
    Autoregressive Flow, algorithm 1; Dinh, Sohl-Dickstein and Bengio 2017,
    Density estimation using Real NVP, eq. (4) to (8).
  """

  def head(
    size: int, *, posterior_depth: int, posterior_width: int
  ) -> PosteriorHead:
    reversal = Permutation.reversal(size)

    def init(key: Key) -> Params:
      one = lambda key: bijection.init(
        key,
        size,
        width=posterior_width,
        num_hidden=_NUM_HIDDEN,
        context_size=posterior_width,
      )
      keys = jax.random.split(key, posterior_depth)
      return {'flow': [one(key).layers for key in keys]}

    def make(params: Params, outputs: Mapping[str, Array]) -> Distribution:
      log_scale = clip_straight_through(outputs['log_scale'])
      bijections: list[Any] = []
      for layers in params['flow']:
        bijections += [bijection(layers, outputs['context']), reversal]
      base = Normal(outputs['loc'], log_scale)
      return Transformed(base, tuple(bijections[:-1]))

    shapes: Outputs = {
      'loc': (size,),
      'log_scale': (size,),
      'context': (posterior_width,),
    }
    return PosteriorHead(shapes, make, init)

  return head
