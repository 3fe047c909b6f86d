"""Quantile functions (inverse CDF) of priors with independent dimensions."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy import special

from vae_jax.distributions import (
  Beta,
  Distribution,
  Gamma,
  Laplace,
  Logistic,
  Normal,
)
from vae_jax.distributions.logged_draw import plain
from vae_jax.types import Array

# (prior, u of the shape of z) -> z
Quantile = Callable[[Any, Array], Array]
# Bounds of z in the support, mapped to the reals, and halvings between them:
# more than the digits of float32.
_MOST, _HALVINGS = 60.0, 40


def _of_noise(quantile: Callable[[Array], Array]) -> Quantile:
  """Returns z = transform(eps) of the quantiles eps of the noise."""
  return lambda prior, u: prior.transform(quantile(u))


def _laplace(u: Array) -> Array:
  return -jnp.sign(u - 0.5) * jnp.log1p(-2 * jnp.abs(u - 0.5))


def _of_cdf(cdf: Callable[[Any, Array], Array]) -> Quantile:
  """Returns the z of F(z) = u, by bisection."""

  def quantile(prior: Any, u: Array) -> Array:
    place = lambda y: plain(prior.support.from_reals(y))

    def halve(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
      low, high = ends
      middle = 0.5 * (low + high)
      above = cdf(prior, place(middle)) > u
      return jnp.where(above, low, middle), jnp.where(above, middle, high)

    start = jnp.full_like(u, -_MOST), jnp.full_like(u, _MOST)
    low, high = jax.lax.fori_loop(0, _HALVINGS, halve, start)
    return place(0.5 * (low + high))

  return quantile


def _gamma_cdf(prior: Gamma, z: Array) -> Array:
  return special.gammainc(prior.concentration, z * jnp.exp(prior.log_rate))


def _beta_cdf(prior: Beta, z: Array) -> Array:
  return special.betainc(prior.concentration1, prior.concentration0, z)


QUANTILES: dict[type[Distribution], Quantile] = {
  Normal: _of_noise(special.ndtri),
  Laplace: _of_noise(_laplace),
  Logistic: _of_noise(special.logit),
  Gamma: _of_cdf(_gamma_cdf),
  Beta: _of_cdf(_beta_cdf),
}
