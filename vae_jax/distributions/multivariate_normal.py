"""The multivariate normal distribution with a full covariance."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions._numerics import event_sum, matmul
from vae_jax.distributions.base import check_event, distribution
from vae_jax.distributions.standard_normal import StandardNormalNoise
from vae_jax.types import Array, ArrayLike


@distribution
class MultivariateNormal(StandardNormalNoise):
  """N(loc, C C'): z = loc + C eps, eps ~ N(0, I).

  log p(z) = log N(eps; 0, I) - log|det C|, eps = C^-1 (z - loc); for a
  triangular C log|det C| is the sum of its log-diagonal.

  Args:
    loc: the mean, `[n]`.
    scale_tril: C, `[n, n]`, lower triangular with a positive diagonal.
    triangular: False admits any invertible C, at O(n^3) per density.

  Raises:
    ValueError: the shapes do not match; or C, where it is concrete, is not
      lower triangular or its diagonal is not positive. A traced C is made lower
      triangular, and nan in the rows whose diagonal is not positive.

  References:
    Kingma and Welling 2014, Auto-Encoding Variational Bayes, section 2.4;
    Titsias and Lazaro-Gredilla 2014, Doubly Stochastic Variational Bayes for
    non-Conjugate Inference, eq. (3), (6).

  Examples:
    >>> scale_tril = jnp.array([[1.0, 0.0], [1.0, 1.0]])
    >>> q = vj.MultivariateNormal(jnp.zeros(2), scale_tril)
    >>> print(q.covariance().tolist(), f'{q.entropy():.3f}')
    [[1.0, 1.0], [1.0, 2.0]] 2.838
  """

  loc: ArrayLike
  scale_tril: ArrayLike
  triangular: bool = dataclasses.field(default=True, metadata={'static': True})

  def __post_init__(self) -> None:
    _check_shapes(jnp.shape(self.loc), jnp.shape(self.scale_tril))
    # Inside `jit` the values are unknown.
    if not isinstance(self.scale_tril, jax.core.Tracer):
      _check_scale(np.asarray(self.scale_tril), self.triangular)
    elif self.triangular:
      scale = _nan_unless_positive(self.scale_tril)
      object.__setattr__(self, 'scale_tril', scale)

  @property
  def shape(self) -> tuple[int, ...]:
    return jnp.shape(self.loc)

  @property
  def scale(self) -> Array:
    """Returns C, `[n, n]`."""
    # Under `jit` C is unchecked; `transform` and `inverse` must still agree.
    c = jnp.asarray(self.scale_tril)
    return jnp.tril(c) if self.triangular else c

  @property
  def triangular_scale(self) -> Array:
    """Returns the lower triangular C with C C' = S and a positive diagonal."""
    if self.triangular:
      return self.scale
    c = jnp.linalg.qr(self.scale.T, mode='r').T
    return c * jnp.sign(jnp.diagonal(c))[None]

  def transform(self, eps: Array) -> Array:
    check_event('eps', eps, self)
    return jnp.asarray(self.loc) + matmul(self.scale, eps)

  def inverse(self, z: Array) -> Array:
    check_event('z', z, self)
    if not self.triangular:
      return jnp.linalg.solve(self.scale, z - self.loc)
    return jax.scipy.linalg.solve_triangular(
      self.scale, z - self.loc, lower=True
    )

  def log_prob(self, z: Array) -> Array:
    return self.noise_log_prob(self.inverse(z)) - self.log_abs_det()

  def log_abs_det(self) -> Array:
    """Returns log|det C|, `[]`."""
    if self.triangular:
      return event_sum(jnp.log(jnp.diagonal(self.scale)))
    return jnp.linalg.slogdet(self.scale)[1]

  def entropy(self) -> Array:
    size = self.shape[0]
    return self.log_abs_det() + 0.5 * size * (1 + math.log(2 * math.pi))

  def mean(self) -> Array:
    return jnp.asarray(self.loc)

  def variance(self) -> Array:
    return jnp.sum(self.scale**2, axis=-1)

  def covariance(self) -> Array:
    """Returns C C', `[n, n]`."""
    return matmul(self.scale, self.scale.T)


def _nan_unless_positive(scale: Array) -> Array:
  diagonal = jnp.diagonal(scale, axis1=-2, axis2=-1)
  # As a factor, the nan reaches the gradient too.
  return scale * jnp.where(diagonal > 0, 1, jnp.nan)[..., None]


def _check_shapes(loc: tuple[int, ...], scale: tuple[int, ...]) -> None:
  # Leading axes are a batch that `vmap` maps over.
  if not loc or len(scale) < 2 or scale[-2:] != (loc[-1], loc[-1]):
    raise ValueError(
      f'scale_tril has shape {scale} and loc {loc}: must be [n, n] and [n]'
    )


def _check_scale(scale: np.ndarray, triangular: bool) -> None:
  if not triangular:
    if not np.linalg.slogdet(scale)[0].all():
      raise ValueError('scale_tril is singular: it must be invertible')
  elif np.triu(scale, 1).any():
    raise ValueError(
      'scale_tril is not lower triangular: apply jnp.tril, or pass '
      'triangular=False'
    )
  elif not (np.diagonal(scale, axis1=-2, axis2=-1) > 0).all():
    raise ValueError('scale_tril has a diagonal that is not positive')
