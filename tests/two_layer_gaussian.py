"""A two-layer linear-Gaussian model, exact in closed form.

p: z2 ~ N(c2, e^(2 s2)), z1 | z2 ~ N(A z2 + c1, e^(2 s1)),
x | z1 ~ N(W z1 + b, e^(2 s)); q draws in the opposite order,
z1 ~ N(m1, e^(2 l1)), z2 | z1 ~ N(B z1 + m2, e^(2 l2)).

A is diagonal and the columns of W are orthogonal: the posterior is a q.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy import stats

import vae_jax as vj

W = np.array([[1.0, 0.6], [1.0, -0.6], [0.4, 0.0]])
X = np.array([0.9, -0.4, 0.3])
PHI = {
  'm1': [0.3, -0.2],
  'l1': [-0.5, -0.3],
  'B': [[0.4, 0.2], [-0.1, 0.3]],
  'm2': [-0.1, 0.2],
  'l2': [0.05, -0.2],
}
# The parameters of p(z2) and p(z1|z2).
PRIOR = {
  'c2': [0.2, -0.3],
  's2': [0.1, -0.1],
  'A': [[0.7, 0.0], [0.0, -0.5]],
  'c1': [0.1, 0.0],
  's1': [-0.2, 0.1],
}
THETA = {'W': W, 'b': [0.1, -0.1, 0.2], 's': -0.5}
DENSITY = stats.multivariate_normal.logpdf


def params(dtype=np.float32):
  every = PHI | PRIOR | THETA
  return {name: jnp.asarray(value, dtype) for name, value in every.items()}


def q_of_z2(p, z):
  return vj.Normal(p['B'] @ z['z1'] + p['m2'], p['l2'])


def prior_of_z1(p, z):
  return vj.Normal(p['A'] @ z['z2'] + p['c1'], p['s1'])


def pick(p, *names):
  return {name: p[name] for name in names}


def posterior_of(p):
  second = vj.Conditional(q_of_z2, pick(p, 'B', 'm2', 'l2'))
  return vj.Chain(z1=vj.Normal(p['m1'], p['l1']), z2=second)


def prior_of(p):
  first = vj.Conditional(prior_of_z1, pick(p, 'A', 'c1', 's1'))
  return vj.Chain(z2=vj.Normal(p['c2'], p['s2']), z1=first)


def log_likelihood_of(p):
  scale = jnp.broadcast_to(p['s'], X.shape)
  x = jnp.asarray(X, p['b'].dtype)
  return lambda z: vj.Normal(p['W'] @ z['z1'] + p['b'], scale).log_prob(x)


def log_joint_of(p):
  likelihood, prior = log_likelihood_of(p), prior_of(p)
  return lambda z: likelihood(z) + prior.log_prob(z)


def elbo(p):
  """Returns E_q[log p(x, z) - log q(z)] from the moments of q."""
  var1, var2 = jnp.exp(2 * p['l1']), jnp.exp(2 * p['l2'])
  mean1, mean2 = p['m1'], p['B'] @ p['m1'] + p['m2']
  of_z2 = (p['B'] * var1[None]) @ p['B'].T + jnp.diag(var2)
  across = p['B'] * var1[None]  # Cov[z2, z1]

  def gaussian(mean, variance, log_scale):
    return jnp.sum(
      -0.5 * (mean**2 + variance) * jnp.exp(-2 * log_scale)
      - log_scale
      - 0.5 * np.log(2 * np.pi)
    )

  likelihood = gaussian(
    X - p['W'] @ mean1 - p['b'],
    (p['W'] ** 2) @ var1,
    jnp.broadcast_to(p['s'], X.shape),
  )
  top = gaussian(mean2 - p['c2'], jnp.diag(of_z2), p['s2'])
  residual = (
    jnp.diag(var1)
    - p['A'] @ across
    - (p['A'] @ across).T
    + p['A'] @ of_z2 @ p['A'].T
  )
  error = mean1 - p['A'] @ mean2 - p['c1']
  middle = gaussian(error, jnp.diag(residual), p['s1'])
  entropy = jnp.sum(p['l1']) + jnp.sum(p['l2']) + 2 * (1 + np.log(2 * np.pi))
  return likelihood + top + middle + entropy


def moments_of_z1(p):
  """Returns the mean and covariance of z1 under p."""
  of_z2 = jnp.exp(2 * p['s2'])
  covariance = (p['A'] * of_z2[None]) @ p['A'].T
  covariance += jnp.diag(jnp.exp(2 * p['s1']))
  return p['A'] @ p['c2'] + p['c1'], covariance


def log_marginal(p):
  """Returns log p(x)."""
  mean, covariance = moments_of_z1(p)
  noise = jnp.exp(2 * p['s']) * jnp.eye(len(X))
  spread = p['W'] @ covariance @ p['W'].T + noise
  return DENSITY(jnp.asarray(X), p['W'] @ mean + p['b'], spread)


def with_posterior(p, observed=True):
  """Returns p with the phi of p(z1|x) p(z2|z1), or of the prior."""
  mean, covariance = moments_of_z1(p)
  precision = 1 / jnp.diag(covariance)
  shift = precision * mean
  if observed:
    scaled = p['W'] * jnp.exp(-2 * p['s'])
    precision += jnp.sum(scaled * p['W'], axis=0)
    shift += scaled.T @ (X - p['b'])
  slope = jnp.diag(p['A'])
  gain = slope * jnp.exp(-2 * p['s1'])
  of_z2 = jnp.exp(-2 * p['s2']) + slope * gain
  top = p['c2'] * jnp.exp(-2 * p['s2']) - gain * p['c1']
  return p | {
    'm1': shift / precision,
    'l1': -0.5 * jnp.log(precision),
    'B': jnp.diag(gain / of_z2),
    'm2': top / of_z2,
    'l2': -0.5 * jnp.log(of_z2),
  }


def draws(bound, p, count, seed=0):
  """Returns values `[N]` and gradients, each leaf `[N, ...]`, of a bound."""
  keys = jax.random.split(jax.random.key(seed), count)
  both = jax.vmap(jax.value_and_grad(bound, 1), (0, None))
  return jax.jit(both)(keys, p)
