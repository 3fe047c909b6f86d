import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from tests.helpers import assert_mean


def square_at(theta, key, num_samples=1):
  q = vj.Normal(theta, 0.0)
  return vj.pathwise(key, q, jnp.square, num_samples=num_samples)


@pytest.mark.parametrize('theta', [0.0, 1.0, 5.0])
def test_value_and_gradient_are_unbiased(theta, key):
  keys = jax.random.split(key, 20_000)
  gradient = jax.jit(jax.vmap(jax.value_and_grad(square_at), (None, 0)))
  values, grads = gradient(theta, keys)
  assert_mean(values, theta**2 + 1)
  assert_mean(grads, 2 * theta)
  # Var[2 (theta + eps)] = 4; the fourth moment of a normal gives the error.
  assert_mean((grads - 2 * theta) ** 2, 4.0)


def test_gradient_flows_through_f(key):
  def estimate(scale, loc):
    f = lambda z: jnp.sum(scale * z)
    return vj.pathwise(key, vj.Normal(loc, -20.0), f, num_samples=3)

  d_scale, d_loc = jax.grad(estimate, (0, 1))(2.0, 3.0)
  np.testing.assert_allclose([d_scale, d_loc], [3.0, 2.0], rtol=1e-6)


def test_variance_falls_with_the_number_of_samples(key):
  keys = jax.random.split(key, 4000)
  many = jax.jit(jax.vmap(lambda key: square_at(1.0, key, 10)))(keys)
  # Var[(1 + eps)^2] = 6, over ten samples.
  assert_mean((many - 2.0) ** 2, 0.6)


def test_f_must_return_a_scalar(key):
  q = vj.Normal(jnp.zeros(2), 0.0)
  with pytest.raises(ValueError, match=r'f returns shape \(2,\)'):
    vj.pathwise(key, q, jnp.square)
