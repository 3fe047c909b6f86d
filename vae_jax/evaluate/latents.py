"""What the latent dimensions of a trained model carry."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions import (
  Distribution,
  MultivariateNormal,
  Normal,
  has_kl,
  kl_per_dimension,
  sample,
)
from vae_jax.evaluate.chunks import as_float
from vae_jax.evaluate.elbo import mean_and_standard_error
from vae_jax.model import VAE
from vae_jax.types import Array, Key, Params

# Burda et al. 2015, appendix C: the variance of the posterior mean above
# which a unit counts as active.
_ACTIVE = 0.01
_BATCH = 1000
_PAIRS = 2**21


class Latents(NamedTuple):
  """Of each dimension of z over N examples, `[Z]` each, and of all at once.

  Attributes:
    kl: E_x[KL(q(z_j|x) || p(z_j))], in nats.
    kl_standard_error: of that mean.
    mean_variance: Var_x[E_q[z_j]].
    scale: E_x of the standard deviation of q(z_j|x).
    means: E_q[z|x], `[N, Z]`.
    mutual_information: I(x; z) between z and which of the N examples it came
      from, at most log N, `[]`, in nats; and its standard error.
    marginal_kl: KL(q(z) || p(z)), q(z) = 1/N sum_n q(z|x_n); the same.
  """

  kl: np.ndarray
  kl_standard_error: np.ndarray
  mean_variance: np.ndarray
  scale: np.ndarray
  means: np.ndarray
  mutual_information: tuple[float, float]
  marginal_kl: tuple[float, float]

  @property
  def active(self) -> np.ndarray:
    """Which units are active, `[Z]`: mean_variance above 0.01."""
    return self.mean_variance > _ACTIVE


def measure_latents(
  key: Key, vae: VAE, params: Params, data: np.ndarray
) -> Latents:
  """Measures what q(z|x) tells of x, dimension by dimension.

  Args:
    key: consumed.
    vae: the model; its z a vector.
    params: its parameters.
    data: `[N, *data_shape]`, as the likelihood takes it.

  Returns:
    `Latents`.

  Raises:
    ValueError: no data.

  References:
    Burda, Grosse and Salakhutdinov 2015, appendix C, for active units;
    Hoffman and Johnson 2016, ELBO surgery, eq. (8), for the two parts of
    E_x[KL(q(z|x) || p(z))].
  """
  if len(data) == 0:
    raise ValueError('data holds no example')
  kl_key, pair_key = jax.random.split(key)
  keys = jax.random.split(kl_key, len(data))
  one = jax.jit(functools.partial(_dimensions, vae))
  parts = [
    jax.device_get(
      one(params, keys[i : i + _BATCH], jnp.asarray(data[i : i + _BATCH]))
    )
    for i in range(0, len(data), _BATCH)
  ]
  kl, means, scales = (np.concatenate(x) for x in zip(*parts, strict=True))
  information, marginal = _surgery(pair_key, vae, params, data)
  count = len(data)
  return Latents(
    kl=np.asarray(np.mean(kl, axis=0, dtype=np.float64)),
    kl_standard_error=np.std(kl, axis=0) / np.sqrt(max(1, count - 1)),
    mean_variance=np.var(means, axis=0, dtype=np.float64),
    scale=np.asarray(np.mean(scales, axis=0, dtype=np.float64)),
    means=means,
    mutual_information=mean_and_standard_error(information),
    marginal_kl=mean_and_standard_error(marginal),
  )


def marginals(q: Distribution) -> Distribution:
  """Returns the law of each coordinate on its own."""
  if isinstance(q, MultivariateNormal):
    return Normal(q.mean(), 0.5 * jnp.log(q.variance()))
  return q


def _dimensions(
  vae: VAE, params: Params, keys: Key, data: Array
) -> tuple[Array, Array, Array]:
  """Returns KL, mean and standard deviation of each z_j, `[N, Z]` each."""

  def one(key: Key, x: Array) -> tuple[Array, Array, Array]:
    q, prior = marginals(vae.encode(params, as_float(x))), vae.prior(params)
    spread = jnp.sqrt(q.variance())
    if has_kl(q, prior):
      return kl_per_dimension(q, prior), q.mean(), spread
    z = sample(key, q)
    each = jax.vmap(lambda q, p, z: q.log_prob(z) - p.log_prob(z))
    return each(q, prior, z), q.mean(), spread

  return jax.vmap(one)(keys, data)


def _surgery(
  key: Key, vae: VAE, params: Params, data: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Returns log q(z|x)/q(z) and log q(z)/p(z) at one z an example, `[N]`."""

  @jax.jit
  def encode(params: Params, data: Array) -> Distribution:
    one = lambda x: vae.encode(params, as_float(x))
    return jax.lax.map(one, data, batch_size=_BATCH)

  @jax.jit
  def parts(qs: Distribution, z: Array, own: Array) -> tuple[Array, Array]:
    log_all = jax.vmap(lambda q: q.log_prob(z))(qs)
    log_q = jax.nn.logsumexp(log_all) - jnp.log(len(data))
    return log_all[own] - log_q, log_q - vae.prior(params).log_prob(z)

  qs = encode(params, jnp.asarray(data))
  z = jax.jit(jax.vmap(sample))(jax.random.split(key, len(data)), qs)
  batch = max(1, _PAIRS // (len(data) * z.shape[-1]))
  # Every z against every q(z|x): in chunks, for they are N^2.
  whole = jax.jit(
    lambda qs, z: jax.lax.map(
      lambda pair: parts(qs, *pair),
      (z, jnp.arange(len(data))),
      batch_size=batch,
    )
  )
  information, marginal = jax.device_get(whole(qs, z))
  return information, marginal


def without_units(vae: VAE, keep: np.ndarray, means: np.ndarray) -> VAE:
  """Returns the model that is left when units of z are taken out.

  p(x | z_keep, the others at their mean), q and prior over z_keep alone: a
  latent-variable model of its own, whose likelihood is one.

  Args:
    vae: of independent latent dimensions, their parameters `[Z]` each.
    keep: which stay, bool `[Z]`.
    means: that the others are held at, `[Z]`.

  Raises:
    TypeError: the dimensions of q are dependent.
  """
  index = np.flatnonzero(keep)
  held = jnp.asarray(means)

  def some(q: Distribution) -> Distribution:
    if isinstance(q, MultivariateNormal):
      raise TypeError(f'{q.name} has dependent units: none can be taken out')
    return jax.tree.map(lambda leaf: leaf[index], q)

  def decode(params: Params, z: Array) -> Distribution:
    return vae.decode(params, held.at[index].set(z))

  return VAE(
    init=vae.init,
    encode=lambda params, x: some(vae.encode(params, x)),
    decode=decode,
    prior=lambda params: some(vae.prior(params)),
  )


def warning(latents: Latents) -> str:
  """Returns a warning in words if most units are dead, else ''."""
  dead, count = int(np.sum(~latents.active)), len(latents.active)
  if 2 * dead <= count:
    return ''
  return (
    f'warning: {dead} of {count} latent units carry nothing (the variance of '
    f'their posterior mean is below {_ACTIVE}): a smaller --latent_dim, '
    '--free_bits or --kl_warmup_epochs may help'
  )
