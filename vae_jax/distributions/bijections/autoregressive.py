"""The masked affine autoregressive bijection, of IAF and MAF."""

import jax
import jax.numpy as jnp
import numpy as np

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
class MaskedAutoregressive(Bijection):
  """y_i = t_i(x_1, ..., x_(i-1)) + exp(s_i(x_1, ..., x_(i-1))) x_i.

  log|det dy/dx| = sum_i s_i. Masks on the weights of one network make its
  outputs i independent of the inputs i, ..., n (MADE); |s| < 3. Forward costs
  one pass, and inverse n passes, one after the other: x_i needs x_1 to x_(i-1).

  Args:
    layers: weights and biases of the network, of `init`.
    context: further inputs of the network, `[C]`, on which every output
      depends, such as features of x in a posterior q(z|x); None for none.

  References:
    Kingma et al. 2016, Improving Variational Inference with Inverse
    Autoregressive Flow, algorithm 1; Germain et al. 2015, MADE, eq. (8), (9).
  """

  layers: Layers
  context: Array | None = None

  inverse_is_sequential = True

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
  ) -> 'MaskedAutoregressive':
    """Initialises the bijection of `size` dimensions at the identity.

    Args:
      key: consumed.
      size: n.
      width: units per hidden layer; n or more, so that each output can depend
        on all earlier inputs.
      num_hidden: number of hidden layers.
      context: the context; None to set it later by `dataclasses.replace`.
      context_size: C where `context` is not given.
    """
    layers = init_conditioner(
      *(key, size, 2 * size),
      width=width,
      num_hidden=num_hidden,
      context=context,
      context_size=context_size,
    )
    return cls(layers, context)

  def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
    shift, log_scale = self._network(x)
    return shift + jnp.exp(log_scale) * x, event_sum(log_scale)

  def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
    def solve(_: Array, x: Array) -> Array:
      # Pass i makes x_i right, given x_1 to x_(i-1).
      shift, log_scale = self._network(x)
      return jnp.exp(-log_scale) * (y - shift)

    x = jax.lax.fori_loop(0, len(y), solve, jnp.zeros_like(y))
    return x, -event_sum(self._network(x)[1])

  def _network(self, x: Array) -> tuple[Array, Array]:
    sizes = [bias.shape[-1] for _, bias in self.layers]
    masks = _masks(len(x), self.layers[0][0].shape[-2] - len(x), sizes)
    network_input = with_context(x, self.context)
    return shift_and_log_scale(self.layers, network_input, masks)


def _masks(size: int, extra: int, outputs: list[int]) -> list[np.ndarray]:
  """Returns masks under which output i sees inputs 1 to i - 1 and context.

  Each unit has a degree, the last input that it may see: 0 for the context.
  """
  degrees = [np.concatenate([np.arange(1, size + 1), np.zeros(extra, int)])]
  degrees += [np.arange(units) % size for units in outputs[:-1]]
  last = np.tile(np.arange(size), 2)  # Shifts, then log-scales.
  return [
    before[:, None] <= after
    for before, after in zip(degrees, [*degrees[1:], last], strict=True)
  ]
