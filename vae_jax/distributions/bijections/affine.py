"""The elementwise affine bijection."""

import jax.numpy as jnp

from vae_jax.distributions._numerics import event_sum, rescale
from vae_jax.distributions.base import distribution
from vae_jax.distributions.bijections.base import Bijection
from vae_jax.types import Array, ArrayLike


@distribution
class Affine(Bijection):
  """y = loc + exp(log_scale) x, elementwise.

  log|det dy/dx| = sum_i log_scale_i.

  Args:
    loc: shift, of the event's shape or `[]`.
    log_scale: log of the positive scale, of the event's shape or `[]`.

  Examples:
    >>> y, log_det = vj.Affine(1.0, 0.5).forward_and_log_det(jnp.zeros(2))
    >>> print(y, log_det)
    [1. 1.] 1.0
  """

  loc: ArrayLike
  log_scale: ArrayLike

  def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
    y = jnp.asarray(self.loc) + rescale(x, self.log_scale)
    return y, self._log_det(x)

  def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
    x = rescale(y - self.loc, -jnp.asarray(self.log_scale))
    return x, -self._log_det(y)

  def _log_det(self, x: Array) -> Array:
    return event_sum(jnp.broadcast_to(self.log_scale, jnp.shape(x)))
