"""A model with a scalar latent, whose bounds are computed by quadrature.

z ~ N(prior_loc, 1), x | z ~ N(slope z, 0.6^2), q = N(loc, exp(log_scale)^2):
log w is a polynomial in eps, and K draws are an integral over K numbers.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy import stats

import vae_jax as vj

X, NOISE = 0.8, 0.6
PHI, THETA = ('loc', 'log_scale'), ('prior_loc', 'slope')
PARAMS = {'loc': 0.1, 'log_scale': -0.4, 'prior_loc': 0.3, 'slope': 1.2}


def params():
  return {name: jnp.float32(value) for name, value in PARAMS.items()}


def posterior_of(p):
  return vj.Normal(p['loc'], p['log_scale'])


def prior_of(p):
  return vj.Normal(p['prior_loc'], 0.0)


def log_likelihood_of(p):
  return lambda z: vj.Normal(p['slope'] * z, np.log(NOISE)).log_prob(X)


def log_joint_of(p):
  likelihood, prior = log_likelihood_of(p), prior_of(p)
  return lambda z: likelihood(z) + prior.log_prob(z)


def log_marginal(p):
  scale = jnp.sqrt(p['slope'] ** 2 + NOISE**2)
  return stats.norm.logpdf(X, p['slope'] * p['prior_loc'], scale)


def true_posterior_of(p):
  precision = 1 + p['slope'] ** 2 / NOISE**2
  miss = X - p['slope'] * p['prior_loc']
  shift = p['slope'] * miss / (NOISE**2 * precision)
  return vj.Normal(p['prior_loc'] + shift, -0.5 * jnp.log(precision))


def params_at_the_posterior():
  best = true_posterior_of(params())
  return params() | {'loc': best.loc, 'log_scale': best.log_scale}


@functools.cache
def expectation(bound, num_samples, nodes):
  """E[bound(log w)], `[K]` weights, and its gradient, in float64."""
  points, weights = np.polynomial.hermite_e.hermegauss(nodes)
  grid = np.stack(
    np.meshgrid(*[points] * num_samples, indexing='ij'), -1
  ).reshape(-1, num_samples)
  mass = np.prod(
    np.stack(np.meshgrid(*[weights] * num_samples, indexing='ij'), -1), -1
  ).ravel() / (2 * np.pi) ** (num_samples / 2)

  def integral(p, grid, mass):
    z = p['loc'] + jnp.exp(p['log_scale']) * grid
    log_w = (
      stats.norm.logpdf(X, p['slope'] * z, NOISE)
      + stats.norm.logpdf(z, p['prior_loc'], 1.0)
      - stats.norm.logpdf(z, p['loc'], jnp.exp(p['log_scale']))
    )
    return mass @ jax.vmap(bound)(log_w)

  with jax.enable_x64(True):
    at = {name: jnp.float64(value) for name, value in PARAMS.items()}
    both = jax.jit(jax.value_and_grad(integral))
    value, gradient = both(at, grid, mass)
    return float(value), {name: float(g) for name, g in gradient.items()}


def iwae(log_w):
  return jax.nn.logsumexp(log_w) - jnp.log(len(log_w))
