"""The bijection interface: an immutable pytree over one event."""

from vae_jax.types import Array


class Bijection:
  """A smooth invertible map y = f(x) of one event, with its log-determinant.

  A subclass is decorated with `distribution`, as families are: its parameters
  are the leaves of a pytree, so `jax.lax.stop_gradient` and `jax.tree.map`
  reach them. It defines `forward_and_log_det`, and `inverse_and_log_det`
  unless `has_inverse` is False.

  Attributes:
    has_inverse: whether `inverse_and_log_det` is defined.
    inverse_is_sequential: whether the inverse costs a pass per dimension, one
      after the other.
  """

  has_inverse = True
  inverse_is_sequential = False

  def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
    """Returns y = f(x), and log|det dy/dx|, `[]`, in nats."""
    raise NotImplementedError

  def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
    """Returns x with y = f(x), and log|det dx/dy|, `[]`, in nats."""
    raise TypeError(f'{type(self).__name__} has no inverse')
