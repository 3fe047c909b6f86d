"""Small latent-variable models whose log p(x) is known exactly.

Every decoder is linear with Gaussian noise and every prior is Gaussian, so the
marginal of x is Gaussian. The posteriors are close to exact, not exact.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

import vae_jax as vj

NUM_EXAMPLES = 24
# Orthogonal columns: the dimensions of the exact posterior are independent.
WEIGHTS = np.array([[1.0, 0.6], [1.0, -0.6], [0.4, 0.0]])
NOISE = 0.6


class Case(NamedTuple):
  """A model with parameters, examples and their exact log p(x).

  Attributes:
    model: any `LatentModel`.
    params: parameters; every leaf has a non-zero gradient in a loss.
    data: pytree of `[N, ...]` float32 arrays (y of `conditional_vae` int32).
    log_marginal: log p(x), or log p(x|y), `[N]`, float64.
  """

  model: Any
  params: Any
  data: Any
  log_marginal: np.ndarray


@vj.distribution
class SinhArcsinh(vj.Distribution):
  """z = loc + exp(log_scale) sinh(arcsinh(eps) + skew), eps ~ N(0, I).

  Its entropy and moments have no closed form here.

  References:
    Jones and Pewsey 2009, Sinh-arcsinh distributions, eq. (1).
  """

  loc: Any
  log_scale: Any
  skew: Any

  @property
  def shape(self):
    return jnp.shape(self.loc)

  def noise(self, key):
    return jax.random.normal(key, self.shape, jnp.result_type(self.loc))

  def noise_log_prob(self, eps):
    return jnp.sum(jax.scipy.stats.norm.logpdf(eps))

  def transform(self, eps):
    scale = jnp.exp(self.log_scale)
    return self.loc + scale * jnp.sinh(jnp.arcsinh(eps) + self.skew)

  def inverse(self, z):
    standard = (z - self.loc) * jnp.exp(-self.log_scale)
    return jnp.sinh(jnp.arcsinh(standard) - self.skew)


@vj.distribution
class PlanarFlow(vj.Distribution):
  """z = z_0 + u tanh(w' z_0 + b), z_0 ~ N(loc, exp(log_scale)^2).

  Its density is known for its own draws only.

  References:
    Rezende and Mohamed 2015, Variational Inference with Normalizing Flows,
    eq. (10) to (13).
  """

  loc: Any
  log_scale: Any
  u: Any
  w: Any
  b: Any

  @property
  def shape(self):
    return jnp.shape(self.loc)

  def draw_and_log_prob(self, key):
    base = vj.Normal(self.loc, self.log_scale)
    z, log_q = base.draw_and_log_prob(key)
    bend = jnp.tanh(self.w @ z + self.b)
    log_det = jnp.log(jnp.abs(1 + (1 - bend**2) * (self.u @ self.w)))
    return z + self.u * bend, log_q - log_det


@functools.cache
def conditional_vae():
  """Returns p(z|y) = N(m_y, I), p(x|z, y) = N(W z + b_y, s^2), y in 0, 1, 2."""
  prior_means = np.array([[0.0, 0.5], [-1.0, 0.0], [1.0, -0.5]])
  biases = np.array([[0.0, 0.0, 0.2], [0.5, -0.5, 0.0], [1.0, 0.0, -1.0]])
  params = _float32(
    {
      'encoder': {
        'weights': _posterior_weights(),
        'offset': [0.2, -0.1],
        'log_scale': _posterior_log_scale() + 0.1,
      },
      'decoder': {'weights': WEIGHTS, 'biases': biases},
      'prior': {'means': prior_means},
    }
  )

  def encode(params, x, y):
    own, decoder = params['encoder'], params['decoder']
    m = params['prior']['means'][y]
    residual = x - decoder['biases'][y] - decoder['weights'] @ m
    loc = m + own['weights'] @ residual + own['offset']
    return vj.Normal(loc, own['log_scale'])

  def decode(params, z, y):
    own = params['decoder']
    return _likelihood(own['weights'] @ z + own['biases'][y])

  def prior(params, y):
    return vj.Normal(params['prior']['means'][y], jnp.zeros(2))

  model = vj.ConditionalVAE(lambda key: params, encode, decode, prior)
  y = np.arange(NUM_EXAMPLES) % 3
  means = (prior_means @ WEIGHTS.T + biases)[y]
  x, log_p = _draw_data(means, WEIGHTS @ WEIGHTS.T)
  return Case(model, params, {'x': x, 'y': y.astype(np.int32)}, log_p)


def prior_of_z1(weights, z):
  return vj.Normal(weights @ z['z2'], jnp.full(2, np.log(0.8)))


def posterior_of_z2(params, z):
  return vj.Normal(params['weights'] @ z['z1'], params['log_scale'])


@functools.cache
def two_layers():
  """Returns p(z2) p(z1|z2) p(x|z1), and q(z1|x) q(z2|z1)."""
  loadings = np.array([[1.0], [0.5]])  # of z1 on z2
  covariance = loadings @ loadings.T + 0.8**2 * np.eye(2)
  gain = covariance @ WEIGHTS.T
  gain = gain @ np.linalg.inv(WEIGHTS @ gain + NOISE**2 * np.eye(3))
  posterior = np.linalg.inv(covariance - gain @ WEIGHTS @ covariance)
  precision = 1 + loadings.T @ loadings / 0.8**2
  params = _float32(
    {
      'encoder': {
        'z1': {
          'weights': gain,
          'offset': [0.1, -0.1],
          'log_scale': -0.5 * np.log(np.diag(posterior)) + 0.1,
        },
        'z2': {
          'weights': loadings.T / 0.8**2 / precision,
          'log_scale': -0.5 * np.log(precision[0]),
        },
      },
      'decoder': {'weights': WEIGHTS},
      'prior': {'weights': loadings},
    }
  )

  def encode(params, x):
    own = params['encoder']['z1']
    z1 = vj.Normal(own['weights'] @ x + own['offset'], own['log_scale'])
    z2 = vj.Conditional(posterior_of_z2, params['encoder']['z2'])
    return vj.Chain(z1=z1, z2=z2)

  def decode(params, z):
    return _likelihood(params['decoder']['weights'] @ z['z1'])

  def prior(params):
    z1 = vj.Conditional(prior_of_z1, params['prior']['weights'])
    return vj.Chain(z2=vj.Normal(jnp.zeros(1), 0.0), z1=z1)

  model = vj.VAE(lambda key: params, encode, decode, prior)
  x, log_p = _draw_data(
    np.zeros((NUM_EXAMPLES, 3)), WEIGHTS @ covariance @ WEIGHTS.T
  )
  return Case(model, params, x, log_p)


@functools.cache
def learned_prior():
  """Returns a VAE whose prior N(loc, exp(log_scale)^2) has parameters."""
  loc, scale = np.array([0.7, -0.3]), np.array([1.3, 0.6])
  return _vae(
    lambda loc, log_scale, params: vj.Normal(loc, log_scale),
    lambda params: vj.Normal(params['loc'], params['log_scale']),
    {},
    {'loc': loc, 'log_scale': np.log(scale)},
    loc,
    scale,
  )


@functools.cache
def no_entropy():
  """Returns a VAE whose posterior has no closed-form entropy or moments."""
  return _vae(
    lambda loc, log_scale, params: SinhArcsinh(loc, log_scale, params['skew']),
    lambda params: vj.Normal(jnp.zeros(2), jnp.zeros(2)),
    {'skew': [0.2, -0.1]},
    {},
    np.zeros(2),
    np.ones(2),
  )


@functools.cache
def no_inverse():
  """Returns a VAE whose posterior is a flow without an inverse."""
  return _vae(
    lambda loc, log_scale, params: PlanarFlow(loc, log_scale, **params),
    lambda params: vj.Normal(jnp.zeros(2), jnp.zeros(2)),
    {'u': [0.2, -0.1], 'w': [0.5, 0.4], 'b': 0.1},
    {},
    np.zeros(2),
    np.ones(2),
  )


CASES = {
  'conditional_vae': conditional_vae,
  'two_layers': two_layers,
  'learned_prior': learned_prior,
  'no_entropy': no_entropy,
  'no_inverse': no_inverse,
}


def covariance(name):
  """Returns Cov[x], or Cov[x|y], of the case of this name, `[3, 3]`."""
  prior = CASES[name]().params['prior']
  of_z = np.eye(2)
  if name == 'two_layers':
    loadings = np.asarray(prior['weights'], np.float64)
    of_z = loadings @ loadings.T + 0.8**2 * np.eye(2)
  if name == 'learned_prior':
    of_z = np.diag(np.exp(2 * np.asarray(prior['log_scale'], np.float64)))
  return WEIGHTS @ of_z @ WEIGHTS.T + NOISE**2 * np.eye(3)


def _vae(make_posterior, make_prior, extra, prior_params, prior_loc, scale):
  """Returns the case of a linear VAE with a posterior and a prior family."""
  precision = scale**-2 + np.sum(WEIGHTS**2, axis=0) / NOISE**2
  params = _float32(
    {
      'encoder': {
        'weights': WEIGHTS.T / NOISE**2 / precision[:, None],
        'offset': prior_loc / scale**2 / precision + [0.2, -0.1],
        'log_scale': -0.5 * np.log(precision) + 0.1,
        'family': extra,
      },
      'decoder': {'weights': WEIGHTS},
      'prior': prior_params,
    }
  )

  def encode(params, x):
    own = params['encoder']
    loc = own['weights'] @ x + own['offset']
    return make_posterior(loc, own['log_scale'], own['family'])

  def decode(params, z):
    return _likelihood(params['decoder']['weights'] @ z)

  def prior(params):
    return make_prior(params['prior'])

  model = vj.VAE(lambda key: params, encode, decode, prior)
  means = np.tile(WEIGHTS @ prior_loc, (NUM_EXAMPLES, 1))
  x, log_p = _draw_data(means, WEIGHTS @ np.diag(scale**2) @ WEIGHTS.T)
  return Case(model, params, x, log_p)


def _likelihood(loc):
  return vj.Normal(loc, jnp.full(3, np.log(NOISE)))


def _posterior_weights():
  """Returns W' / s^2 / precision for the prior N(0, I)."""
  precision = 1 + np.sum(WEIGHTS**2, axis=0) / NOISE**2
  return WEIGHTS.T / NOISE**2 / precision[:, None]


def _posterior_log_scale():
  return -0.5 * np.log(1 + np.sum(WEIGHTS**2, axis=0) / NOISE**2)


def _draw_data(means, covariance):
  """Draws x, `[N, 3]`, from the marginal; returns x and its log-density."""
  marginal = stats.multivariate_normal(
    np.zeros(3), covariance + NOISE**2 * np.eye(3)
  )
  x = (means + marginal.rvs(len(means), random_state=0)).astype(np.float32)
  return x, marginal.logpdf(x - means)


def _float32(tree):
  is_list = lambda leaf: isinstance(leaf, list)
  return jax.tree.map(
    lambda leaf: jnp.asarray(np.asarray(leaf, np.float32)),
    tree,
    is_leaf=is_list,
  )
