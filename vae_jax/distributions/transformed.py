"""Normalizing flows: a base distribution pushed through bijections."""

import dataclasses
from typing import Any, Self

import jax.numpy as jnp

from vae_jax.distributions._numerics import float32_or_wider
from vae_jax.distributions.base import (
  Distribution,
  Event,
  check_event,
  distribution,
)
from vae_jax.distributions.bijections import Bijection
from vae_jax.distributions.differentiability import raise_on_gradient
from vae_jax.distributions.logged_draw import plain
from vae_jax.distributions.support import REALS, Support
from vae_jax.types import Array, Key


@distribution
class Transformed(Distribution):
  """The distribution of z = f_n(... f_1(u)), u ~ base (a normalizing flow).

  log p(z) = log p_base(u) - sum_i log|det df_i|.

  Draws with their density cost one pass; the density of a given z costs the
  inverse of each bijection. Entropy and moments have no closed form.

  Args:
    base: a continuous distribution over one array.
    bijections: applied from first to last.

  Raises:
    TypeError: a discrete base, or one over a dict of latents.

  References:
    Rezende and Mohamed 2015, Variational Inference with Normalizing Flows,
    eq. (7).

  Examples:
    >>> base = vj.Normal(jnp.zeros(2), 0.0)
    >>> q = vj.Transformed(base, [vj.Affine(1.0, 0.5)])
    >>> print(f'{q.log_prob(jnp.ones(2)):.3f}')  # that of vj.Normal(1, 0.5)
    -2.838
  """

  base: Distribution
  bijections: tuple[Bijection, ...]

  has_entropy = False
  has_moments = False

  def __post_init__(self) -> None:
    base: Any = self.base
    # As a pytree it may also hold axes or specifications.
    if not isinstance(base, Distribution):
      return
    object.__setattr__(self, 'bijections', tuple(self.bijections))
    if base.is_discrete:
      raise TypeError(
        f'Transformed: got base {base.name}, expected a density. A discrete '
        'distribution has none to transform'
      )

  @property
  def shape(self) -> tuple[int, ...]:
    return self.base.shape

  @property
  def has_inverse(self) -> bool:
    return self.base.has_inverse and all(f.has_inverse for f in self.bijections)

  @property
  def inverse_is_sequential(self) -> bool:
    return any(f.inverse_is_sequential for f in self.bijections)

  @property
  def support(self) -> Support | None:
    return REALS if self.base.support is REALS else None

  def for_pathwise(self) -> Self:
    return dataclasses.replace(self, base=self.base.for_pathwise())

  def for_score(self) -> Self:
    bijections = self.bijections
    if self.base.support is not REALS:
      bijections = raise_on_gradient(
        bijections,
        f'Transformed has no score-function gradient in bijections: the base '
        f'{self.base.name} has a bounded support, which they move',
      )
    return dataclasses.replace(
      self, base=self.base.for_score(), bijections=bijections
    )

  def noise(self, key: Key) -> Event:
    return self.base.noise(key)

  def noise_log_prob(self, eps: Event) -> Array:
    return self.base.noise_log_prob(eps)

  def mirror(self, eps: Event) -> Event:
    return self.base.mirror(eps)

  def transform(self, eps: Event) -> Array:
    return self._forward(self.base.transform(eps))[0]

  def inverse(self, z: Array) -> Event:
    return self.base.inverse(self._backward(z)[0])

  def draw(self, key: Key) -> Array:
    return self._forward(self.base.draw(key))[0]

  def sample(self, key: Key) -> Array:
    return self._forward(self.base.sample(key))[0]

  def draw_and_log_prob(self, key: Key) -> tuple[Array, Array]:
    u, log_p = self.base.draw_and_log_prob(key)
    z, log_det = self._forward(u)
    return z, log_p - log_det

  def log_prob(self, z: Array) -> Array:
    if not self.has_inverse:
      return super().log_prob(z)
    u, log_det = self._backward(z)
    return self.base.log_prob(u) + log_det

  def _forward(self, u: Event) -> tuple[Array, Array]:
    """Returns z and log|det dz/du|."""
    z = plain(u)
    total = jnp.zeros((), float32_or_wider(z.dtype))
    for bijection in self.bijections:
      z, log_det = bijection.forward_and_log_det(z)
      total += log_det
    return z, total

  def _backward(self, z: Array) -> tuple[Array, Array]:
    """Returns u and log|det du/dz|."""
    check_event('z', z, self)
    u = plain(z)
    total = jnp.zeros((), float32_or_wider(u.dtype))
    for bijection in reversed(self.bijections):
      u, log_det = bijection.inverse_and_log_det(u)
      total += log_det
    return u, total
