"""Smooth invertible maps with log-determinants, the layers of flows."""

from vae_jax.distributions.bijections.affine import Affine
from vae_jax.distributions.bijections.autoregressive import (
  MaskedAutoregressive,
)
from vae_jax.distributions.bijections.base import Bijection
from vae_jax.distributions.bijections.coupling import AffineCoupling
from vae_jax.distributions.bijections.permutation import Permutation

__all__ = (
  'Affine',
  'AffineCoupling',
  'Bijection',
  'MaskedAutoregressive',
  'Permutation',
)
