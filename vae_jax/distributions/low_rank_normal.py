"""The normal distribution whose covariance is diagonal plus low rank."""

import math

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from vae_jax.distributions._numerics import event_sum, matmul, rescale
from vae_jax.distributions.base import check_event, distribution
from vae_jax.distributions.multivariate_normal import MultivariateNormal
from vae_jax.distributions.standard_normal import StandardNormalNoise
from vae_jax.types import Array, ArrayLike


@distribution
class LowRankNormal(StandardNormalNoise):
  """N(loc, S^2 + U U'), S = diag(exp(log_scale)), U of r columns.

  z has the distribution of loc + S eps_1 + U eps_2. With V = S^-1 U and the
  lower triangular L of L L' = I + V'V, it is drawn from n noises by

  z = loc + S B eps, B = I + V (I + L)^-1 V', eps ~ N(0, I),

  since B B' = I + V V' and det B = det L > 0. The inverse exists,

  B^-1 = I - V (I + L')^-1 L^-1 V',

  and log p(z) = log N(eps; 0, I) - sum log_scale - log det L. Each costs
  O(n r + r^2), and L costs O(n r^2). Unlike a matrix square root of
  eigenvalues, L has finite derivatives at U = 0 and at equal singular values.

  Args:
    loc: the mean, `[n]`.
    log_scale: log of the diagonal of S, `[n]` or `[]`.
    factor: U, `[n, r]`.

  Raises:
    ValueError: the shapes do not match.

  References:
    Ong, Nott and Smith 2018, Gaussian variational approximation with a factor
    covariance structure, eq. (8), for the family.
  """

  loc: ArrayLike
  log_scale: ArrayLike
  factor: ArrayLike

  def __post_init__(self) -> None:
    loc, factor = jnp.shape(self.loc), jnp.shape(self.factor)
    # Leading axes are a batch that `vmap` maps over.
    if not loc or len(factor) < 2 or factor[-2] != loc[-1]:
      raise ValueError(
        f'factor has shape {factor} and loc {loc}: must be [n, r] and [n]'
      )

  @property
  def shape(self) -> tuple[int, ...]:
    return jnp.shape(self.loc)

  @property
  def scaled_factor(self) -> Array:
    """Returns V = S^-1 U, `[n, r]`."""
    log_scale = jnp.broadcast_to(self.log_scale, self.shape)
    return rescale(self.factor, -log_scale[:, None])

  def transform(self, eps: Array) -> Array:
    check_event('eps', eps, self)
    v = self.scaled_factor
    return self._place(eps, v, capacitance_root(v))

  def _place(self, eps: Array, v: Array, root: Array) -> Array:
    """Returns loc + S B eps."""
    identity = jnp.eye(len(root), dtype=root.dtype)
    weights = solve_triangular(identity + root, matmul(v.T, eps), lower=True)
    spread = eps + matmul(v, weights)
    return jnp.asarray(self.loc) + rescale(spread, self.log_scale)

  def inverse(self, z: Array) -> Array:
    v = self.scaled_factor
    return self._standardise(z, v, capacitance_root(v))

  def _standardise(self, z: Array, v: Array, root: Array) -> Array:
    """Returns B^-1 S^-1 (z - loc)."""
    check_event('z', z, self)
    y = rescale(jnp.asarray(z) - self.loc, -jnp.asarray(self.log_scale))
    identity = jnp.eye(len(root), dtype=root.dtype)
    weights = solve_triangular(root, matmul(v.T, y), lower=True)
    weights = solve_triangular(identity + root.T, weights, lower=False)
    return y - matmul(v, weights)

  def log_prob(self, z: Array) -> Array:
    v = self.scaled_factor
    root = capacitance_root(v)
    noise = self.noise_log_prob(self._standardise(z, v, root))
    return noise - self._log_det(root)

  def draw_and_log_prob(self, key: jax.Array) -> tuple[Array, Array]:
    # The noise is known. Computed back from z it would lose digits where U is
    # large.
    eps, v = self.noise(key), self.scaled_factor
    root = capacitance_root(v)
    log_p = self.noise_log_prob(eps) - self._log_det(root)
    return self._place(eps, v, root), log_p

  def _log_det(self, root: Array) -> Array:
    log_scale = jnp.broadcast_to(self.log_scale, self.shape)
    return event_sum(log_scale) + event_sum(jnp.log(jnp.diagonal(root)))

  def entropy(self) -> Array:
    log_det = self._log_det(capacitance_root(self.scaled_factor))
    return log_det + 0.5 * self.shape[0] * (1 + math.log(2 * math.pi))

  def mean(self) -> Array:
    return jnp.asarray(self.loc)

  def variance(self) -> Array:
    diagonal = jnp.exp(2 * jnp.broadcast_to(self.log_scale, self.shape))
    return diagonal + jnp.sum(jnp.asarray(self.factor) ** 2, axis=-1)

  def covariance(self) -> Array:
    """Returns S^2 + U U', `[n, n]`."""
    u = jnp.asarray(self.factor)
    log_scale = jnp.broadcast_to(self.log_scale, self.shape)
    return jnp.diag(jnp.exp(2 * log_scale)) + matmul(u, u.T)

  def with_full_scale(self) -> MultivariateNormal:
    """Returns the same distribution with the scale S B, `[n, n]`."""
    v = self.scaled_factor
    root = capacitance_root(v)
    identity = jnp.eye(len(root), dtype=root.dtype)
    weights = solve_triangular(identity + root, v.T, lower=True)
    b = jnp.eye(len(v), dtype=v.dtype) + matmul(v, weights)
    log_scale = jnp.broadcast_to(self.log_scale, self.shape)
    scale = rescale(b, log_scale[:, None])
    return MultivariateNormal(self.loc, scale, triangular=False)


def capacitance_root(v: Array) -> Array:
  """Returns the lower triangular L of L L' = I + V'V, `[r, r]`.

  Orthogonalises the columns of V stacked on I, by the modified Gram-Schmidt
  method: V'V itself would square the condition number, and lose the I where V
  exceeds 1e4. The diagonal of L is 1 or more by construction, so that L and
  its derivatives are finite for any V.

  Args:
    v: `[n, r]`.

  References:
    Bjorck 1967, Solving linear least squares problems by Gram-Schmidt
    orthogonalization, for the backward stability of L.
  """
  rank = v.shape[-1]
  index = jnp.arange(rank)

  def step(columns: Array, k: Array) -> tuple[Array, Array]:
    column = columns[:, k]
    norm = jnp.sqrt(jnp.sum(column**2))
    direction = column / norm
    # Earlier columns are done.
    products = jnp.where(index > k, matmul(direction, columns), 0)
    columns = columns - jnp.outer(direction, products)
    return columns, products + jnp.where(index == k, norm, 0)

  stacked = jnp.concatenate([jnp.eye(rank, dtype=v.dtype), v])
  _, rows = jax.lax.scan(step, stacked, index)
  return rows.T
