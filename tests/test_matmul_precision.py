"""Draws and densities multiply matrices in full float32 on every device."""

import jax
import jax.extend
import jax.numpy as jnp
import pytest

import vae_jax as vj

KEY = jax.random.key(0)
Q = vj.MultivariateNormal(jnp.zeros(3), jnp.eye(3))
MODEL = vj.LinearGaussian(jnp.ones((4, 2)), jnp.zeros(4), jnp.zeros(()))
X = jnp.ones(4)


def f(z):
  return jnp.sum(z**2)


def value_and_gradient(function):
  """Returns a program of `function(key, q)` and of its gradient in q."""
  return lambda: jax.value_and_grad(lambda q: function(KEY, q))(Q)


PROGRAMS = {
  'draw': value_and_gradient(lambda key, q: f(vj.reparameterise(key, q))),
  'log_prob': value_and_gradient(lambda key, q: q.log_prob(jnp.ones(3))),
  'covariance': value_and_gradient(lambda key, q: jnp.sum(q.covariance())),
  'delta baseline': value_and_gradient(
    lambda key, q: vj.score_function(key, q, f, num_samples=4, baseline='delta')
  ),
  'piw_elbo': value_and_gradient(
    lambda key, q: vj.piw_elbo(
      key, q, lambda z: -f(z), num_groups=2, num_samples=2
    )
  ),
  'posterior': lambda: MODEL.posterior(X),
  'likelihood': lambda: MODEL.log_joint(X)(jnp.ones(2)),
  'marginal': lambda: MODEL.log_marginal(X),
}


def products(jaxpr):
  """Yields the matrix products of a program and of those it calls."""
  for equation in jaxpr.eqns:
    if equation.primitive.name == 'dot_general':
      yield equation
    for inner in jax.extend.core.jaxprs_in_params(equation.params):
      yield from products(inner)


@pytest.mark.parametrize('name', PROGRAMS)
def test_matrix_products_have_all_digits(name):
  jaxpr = jax.make_jaxpr(PROGRAMS[name])().jaxpr
  highest = jax.lax.Precision.HIGHEST
  for product in products(jaxpr):
    assert product.params['precision'] == (highest, highest), product
