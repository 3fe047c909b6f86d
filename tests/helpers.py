"""Statistical assertions and small models that several tests share."""

import jax
import jax.numpy as jnp
import numpy as np

import vae_jax as vj

# Two-sided p = 2e-9 a comparison: 500 of them still fail a correct library
# less than once in a million runs.
SIGMAS = 6.0


def assert_mean(samples, exact, sigmas=SIGMAS):
  """Asserts that the mean of iid `[N, ...]` samples is `exact`."""
  samples, exact = np.asarray(samples, np.float64), np.asarray(exact)
  error = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
  # Draws without variance are equal to the last float32 digits only.
  error = np.maximum(error, 1e-6 * (1 + np.abs(exact)))
  z = np.abs(samples.mean(axis=0) - exact) / error
  assert np.all(z < sigmas), f'z = {z}'


def assert_trees_close(found, exact, rtol=1e-3, atol=1e-5):
  """Asserts that each leaf is what it should be, to float32 rounding."""
  close = lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)
  jax.tree.map(close, found, exact)


def linear_gaussian(loadings, bias, noise):
  """A VAE whose posterior is known: x = W z + b + noise, W'W diagonal.

  params hold the offset of q's mean from the exact posterior mean, so that
  zeros make q exact.
  """
  gram = np.sum(loadings**2, axis=0)
  precision = 1 + gram / noise**2

  def init(key):
    del key
    return {'offset': jnp.zeros(loadings.shape[1])}

  def encode(params, x):
    mean = loadings.T @ (x - bias) / noise**2 / precision
    return vj.Normal(mean + params['offset'], -0.5 * jnp.log(precision))

  def decode(params, z):
    del params
    return vj.Normal(loadings @ z + bias, jnp.full(len(bias), np.log(noise)))

  def prior(params):
    del params
    return vj.Normal(jnp.zeros(loadings.shape[1]), 0.0)

  return vj.VAE(init, encode, decode, prior)


LOADINGS = np.array([[1.0, 1.0], [1.0, -1.0], [0.5, 0.0], [0.0, 0.5]])
BIAS = np.array([0.3, -0.2, 0.1, 0.0])
NOISE = 0.7


def evidence_covariance():
  """Returns the covariance of x under `linear_gaussian` of the constants."""
  return LOADINGS @ LOADINGS.T + NOISE**2 * np.eye(len(BIAS))
