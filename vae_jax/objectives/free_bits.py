"""Free bits: a KL below a minimum costs nothing."""

import jax.numpy as jnp

from vae_jax.distributions import _shapes
from vae_jax.types import Array


def free_bits(divergences: Array, minimum: float) -> Array:
  """Returns sum_j max(minimum, 1/B sum_b KL_bj), `[]`, in nats.

  A latent dimension pays only for its KL above `minimum`, so that none
  collapses to the prior at the start of training.

  Args:
    divergences: KL(q(z_j|x_b) || p(z_j)), `[B, Z]`.
    minimum: lambda, in nats, at least 0.

  References:
    Kingma et al. 2016, Improved Variational Inference with Inverse
    Autoregressive Flow, eq. (15).

  Examples:
    >>> print(vj.free_bits(jnp.array([[0.0, 2.0], [0.2, 4.0]]), 0.5))  # 0.5 + 3
    3.5
  """
  _shapes.assert_rank([divergences, minimum], [2, 0])
  return jnp.sum(jnp.maximum(jnp.mean(divergences, axis=0), minimum))
