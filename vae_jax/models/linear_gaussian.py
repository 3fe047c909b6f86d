"""The linear-Gaussian VAE (probabilistic PCA), exact in closed form."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions import Distribution, MultivariateNormal, Normal, kl
from vae_jax.distributions._numerics import matmul
from vae_jax.types import Array, ArrayLike, Key, LogDensity

# Examples whose float64 copies are in memory at once.
_CHUNK = 4096


class LinearGaussian(NamedTuple):
  """p(z) = N(0, I), p(x|z) = N(W z + loc, sigma^2 I), for one example.

  Everything that a VAE estimates has a closed form here.

  Attributes:
    weights: W, `[D, Z]`.
    loc: the mean of x, `[D]`.
    log_scale: log sigma, `[]`.

  References:
    Tipping and Bishop 1999, Probabilistic Principal Component Analysis,
    section 3.1; Bishop 2006, Pattern Recognition and Machine Learning,
    section 12.2; Lucas et al. 2019, Don't Blame the ELBO! (as a VAE).

  Examples:
    >>> model = vj.LinearGaussian(jnp.ones((2, 1)), jnp.zeros(2), 0.0)
    >>> print(jnp.round(model.marginal().covariance(), 3).tolist())
    [[2.0, 1.0], [1.0, 2.0]]
    >>> print(f'{model.log_marginal(jnp.zeros(2)):.3f}')
    -2.387
  """

  weights: ArrayLike
  loc: ArrayLike
  log_scale: ArrayLike

  def prior(self) -> Normal:
    """Returns p(z) = N(0, I)."""
    size = jnp.shape(self.weights)[1]
    return Normal(jnp.zeros(size), jnp.zeros(size))

  def decode(self, z: Array) -> Normal:
    """Returns p(x|z) = N(W z + loc, sigma^2 I)."""
    return Normal(matmul(self.weights, z) + self.loc, self.log_scale)

  def sample(self, key: Key) -> Array:
    """Draws x, `[D]`, from the marginal."""
    z_key, x_key = jax.random.split(key)
    return self.decode(self.prior().sample(z_key)).sample(x_key)

  def log_likelihood(self, x: Array) -> LogDensity:
    """Returns z -> log p(x|z), `[]`, in nats."""
    return lambda z: self.decode(z).log_prob(x)

  def log_joint(self, x: Array) -> LogDensity:
    """Returns z -> log p(x|z) + log p(z), `[]`, in nats."""
    return lambda z: self.decode(z).log_prob(x) + self.prior().log_prob(z)

  def marginal(self) -> MultivariateNormal:
    """Returns p(x) = N(loc, W W' + sigma^2 I), at O(D^3).

    `log_marginal` gives its density at a cost linear in D.
    """
    weights, log_scale = jnp.asarray(self.weights), jnp.asarray(self.log_scale)
    noise = jnp.exp(2 * log_scale) * jnp.eye(len(weights))
    covariance = matmul(weights, weights.T) + noise
    return MultivariateNormal(self.loc, jnp.linalg.cholesky(covariance))

  def posterior(self, x: Array) -> MultivariateNormal:
    """Returns p(z|x) = N(S W' (x - loc) / sigma^2, S), S^-1 = I + W'W/sigma^2.

    O(Z^3), and O(D Z^2) for W'W, which a `vmap` over x computes once.

    References:
      Tipping and Bishop 1999, eq. (6); Bishop 2006, eq. (12.42).
    """
    scaled = self.weights * jnp.exp(-jnp.asarray(self.log_scale))
    precision = jnp.eye(scaled.shape[1]) + matmul(scaled.T, scaled)
    scale = _inverse_cholesky(precision)
    shift = matmul(scaled.T, Normal(self.loc, self.log_scale).inverse(x))
    return MultivariateNormal(matmul(scale, matmul(scale.T, shift)), scale)

  def log_marginal(self, x: Array) -> Array:
    """Returns log p(x) = log p(x, z) - log p(z|x), at z = E[z|x].

    The identity holds at any z. It is equivalent to Woodbury's identity with
    the determinant lemma: no matrix larger than Z is inverted. At the mean no
    large terms cancel, and the rounding error of z enters squared. The cost is
    that of `posterior`.

    Args:
      x: one example, `[D]`.

    Returns:
      `[]`, in nats.

    Raises:
      ValueError: x has another shape.

    References:
      Tipping and Bishop 1999, eq. (4); Bishop 2006, eq. (12.35), (12.40).
    """
    posterior = self.posterior(x)
    z = posterior.mean()
    return self.log_joint(x)(z) - posterior.log_prob(z)

  def elbo(self, q: Distribution, x: Array) -> Array:
    """Returns E_q[log p(x|z)] - KL(q || p(z)), in closed form.

    E_q[log p(x|z)] = log p(x | z = E_q z) - tr(W'W Cov_q) / 2 sigma^2. The
    bound is `log_marginal` - KL(q || p(z|x)).

    Args:
      q: q(z|x), over `[Z]`, `Normal` or `MultivariateNormal`.
      x: one example, `[D]`.

    Returns:
      `[]`, in nats.

    Raises:
      TypeError: q is not Gaussian.

    References:
      Lucas et al. 2019, section 4.
    """
    divergence = kl(q, self.prior())
    if isinstance(q, MultivariateNormal):
      spread = jnp.sum(matmul(self.weights, q.scale) ** 2)
    else:
      spread = jnp.sum(matmul(jnp.square(self.weights), q.variance()))
    blur = 0.5 * spread * jnp.exp(-2 * jnp.asarray(self.log_scale))
    return self.log_likelihood(x)(q.mean()) - blur - divergence


def _inverse_cholesky(precision: Array) -> Array:
  """Returns the lower triangular C with C C' = precision^-1.

  precision = U U', U upper triangular, gives C = (U')^-1 without the loss of
  digits of an inverse that is then factorised.
  """
  flipped = jnp.linalg.cholesky(precision[::-1, ::-1])
  return jax.scipy.linalg.solve_triangular(
    flipped[::-1, ::-1].T, jnp.eye(len(precision)), lower=True
  )


def maximum_likelihood(data: ArrayLike, latent_dim: int) -> LinearGaussian:
  """Returns the `LinearGaussian` of the highest likelihood.

  W = U (Lambda - sigma^2 I)^(1/2), sigma^2 the mean of the other eigenvalues
  of the data's covariance; Lambda and U hold the `latent_dim` largest and
  their eigenvectors. The columns of W, orthogonal and longest first, make the
  coordinates of z independent given x: a mean-field q(z|x) can be exact.

  Args:
    data: `[N, D]`; float64 inside.
    latent_dim: Z. Columns past D - 1 add nothing and are 0.

  Raises:
    ValueError: data that are not `[N, D]`, or that vary in no more than
      `latent_dim` directions, so that the likelihood has no bound.

  References:
    Tipping and Bishop 1999, Probabilistic Principal Component Analysis,
    eq. (7), (8); Bishop 2006, eq. (12.45), (12.46).

  Examples:
    >>> x = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0], [0.0, -2.0]])
    >>> model = vj.maximum_likelihood(x, latent_dim=1)
    >>> print(f'{2 * model.log_scale:.3f}')  # log of the smaller variance, 1/2
    -0.693
  """
  loc, covariance = _moments(data)
  values, vectors = (x[..., ::-1] for x in np.linalg.eigh(covariance))
  rank, noise = _rank_and_noise(values, latent_dim)
  if noise <= 0:
    raise ValueError(
      f'the data vary in no more than latent_dim = {latent_dim} directions: '
      'as sigma tends to 0 the likelihood has no bound'
    )
  # Equal eigenvalues may round to less than their mean.
  scales = np.sqrt(np.maximum(values[:rank] - noise, 0))
  weights = np.zeros((len(loc), latent_dim))
  weights[:, :rank] = vectors[:, :rank] * scales
  log_scale = 0.5 * math.log(noise)
  return LinearGaussian(*map(jnp.asarray, (weights, loc, log_scale)))


def maximum_log_likelihood(data: ArrayLike, latent_dim: int) -> float:
  """Returns the mean log p(x) under `maximum_likelihood`, in nats per example.

  -(D log 2 pi + sum log Lambda + (D - Z) log sigma^2 + D) / 2: the highest
  that any `LinearGaussian` reaches on these data; inf where it has no bound.

  Raises:
    ValueError: data that are not `[N, D]`.

  References:
    Tipping and Bishop 1999, eq. (4), at the maximum.
  """
  values = np.linalg.eigvalsh(_moments(data)[1])[::-1]
  rank, noise = _rank_and_noise(values, latent_dim)
  if noise <= 0:
    return math.inf
  size = len(values)
  log_det = np.sum(np.log(values[:rank])) + (size - rank) * math.log(noise)
  return float(-0.5 * (size * math.log(2 * math.pi) + log_det + size))


def _moments(data: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
  """Returns the mean and covariance of `[N, D]` data, in float64."""
  x = np.asarray(data)
  if x.ndim != 2 or not x.size:
    raise ValueError(f'data have shape {x.shape}: must be [N, D]')
  mean = np.asarray(np.mean(x, axis=0, dtype=np.float64))
  covariance = np.zeros((x.shape[1], x.shape[1]))
  for start in range(0, len(x), _CHUNK):
    centred = x[start : start + _CHUNK] - mean
    covariance += centred.T @ centred / len(x)
  return mean, covariance


def _rank_and_noise(values: np.ndarray, latent_dim: int) -> tuple[int, float]:
  """Returns how many directions W spans, and sigma^2."""
  rank = min(latent_dim, len(values) - 1)
  noise = float(np.mean(values[rank:]))
  # Eigenvalues of directions without variance are rounding errors.
  rounding = len(values) * np.finfo(np.float64).eps * values[0]
  return rank, noise if noise > rounding else 0.0
