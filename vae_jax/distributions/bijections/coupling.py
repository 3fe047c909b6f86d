"""Affine coupling, the bijection of RealNVP."""

import jax.numpy as jnp

from vae_jax.distributions._numerics import event_sum
from vae_jax.distributions.base import distribution
from vae_jax.distributions.bijections._conditioner import (
  Layers,
  init_conditioner,
  shift_and_log_scale,
  with_context,
)
from vae_jax.distributions.bijections.base import Bijection
from vae_jax.types import Array, Key


@distribution
class AffineCoupling(Bijection):
  """y = (a, t(a) + exp(s(a)) b), x = (a, b), where a is the first half.

  log|det dy/dx| = sum_i s_i(a). The network (t, s) has tanh units, and |s| < 3.
  The halves of n dimensions have n // 2 and n - n // 2; one dimension is
  shifted and scaled by constants. Forward and inverse each cost one pass.

  Args:
    layers: weights and biases of the network, of `init`.
    context: further inputs of the network, `[C]`, such as features of x in a
      posterior q(z|x); None for none.

  References:
    Dinh, Sohl-Dickstein and Bengio 2017, Density estimation using Real NVP,
    eq. (4) to (8).
  """

  layers: Layers
  context: Array | None = None

  @classmethod
  def init(
    cls,
    key: Key,
    size: int,
    *,
    width: int,
    num_hidden: int = 2,
    context: Array | None = None,
    context_size: int = 0,
  ) -> 'AffineCoupling':
    """Initialises the coupling of `size` dimensions at the identity.

    Args:
      key: consumed.
      size: n.
      width: units per hidden layer.
      num_hidden: number of hidden layers.
      context: the context; None to set it later by `dataclasses.replace`.
      context_size: C where `context` is not given.
    """
    layers = init_conditioner(
      *(key, size // 2, 2 * (size - size // 2)),
      width=width,
      num_hidden=num_hidden,
      context=context,
      context_size=context_size,
    )
    return cls(layers, context)

  def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
    kept, rest, shift, log_scale = self._split(x)
    y = shift + jnp.exp(log_scale) * rest
    return jnp.concatenate([kept, y]), event_sum(log_scale)

  def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
    kept, rest, shift, log_scale = self._split(y)
    x = jnp.exp(-log_scale) * (rest - shift)
    return jnp.concatenate([kept, x]), -event_sum(log_scale)

  def _split(self, x: Array) -> tuple[Array, Array, Array, Array]:
    """Returns both halves, and the shift and log-scale of the second."""
    kept, rest = x[: len(x) // 2], x[len(x) // 2 :]
    network_input = with_context(kept, self.context)
    return kept, rest, *shift_and_log_scale(self.layers, network_input)
