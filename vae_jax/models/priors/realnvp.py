"""The prior that is a flow of affine couplings (RealNVP)."""

import jax
import jax.numpy as jnp

from vae_jax.distributions import (
  AffineCoupling,
  Bijection,
  Normal,
  Permutation,
  Transformed,
)
from vae_jax.models.priors.row import Encode, Prior, PriorHead
from vae_jax.types import Key, Params


def _realnvp(size: int, *, prior_depth: int, prior_width: int) -> PriorHead:
  """p(z) of z = f(u), u ~ N(0, I), f affine couplings with reversals between.

  It starts at N(0, I). Two couplings or more change every dimension.

  References:
    Dinh, Sohl-Dickstein and Bengio 2017, Density estimation using Real NVP.
  """
  for name, value in {'depth': prior_depth, 'width': prior_width}.items():
    if value < 1:
      raise ValueError(f'prior_{name} is {value}: must be at least 1')
  names = [f'coupling_{i}' for i in range(prior_depth)]

  def init(key: Key) -> Params:
    keys = jax.random.split(key, prior_depth)
    one = lambda key: AffineCoupling.init(key, size, width=prior_width).layers
    return {name: one(key) for name, key in zip(names, keys, strict=True)}

  def make(params: Params, encode: Encode) -> Transformed:
    del encode
    bijections: list[Bijection] = []
    for name in names:
      if bijections:
        bijections.append(Permutation.reversal(size))
      bijections.append(AffineCoupling(params[name]))
    base = Normal(jnp.zeros(size), jnp.zeros(size))
    return Transformed(base, tuple(bijections))

  return PriorHead(make, init)


REALNVP = Prior(
  'RealNVP flow of {prior_depth} affine couplings on the standard normal',
  _realnvp,
  options=('prior_depth', 'prior_width'),
)
