import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import vae_jax as vj
from tests.distributions.families import directional, expectation
from tests.helpers import assert_mean
from vae_jax.distributions import change_of_variables


def test_distribution_is_a_pytree_of_its_parameters():
  q = vj.Normal(jnp.zeros(2), jnp.ones(2))
  assert len(jax.tree.leaves(q)) == 2
  stopped = jax.tree.map(jax.lax.stop_gradient, q)
  assert isinstance(stopped, vj.Normal)
  with pytest.raises(AttributeError):
    q.loc = jnp.ones(2)


def test_pytree_paths_are_the_parameter_names():
  (path, _), *_ = jax.tree_util.tree_leaves_with_path(vj.Normal(0.0, 1.0))
  assert jax.tree_util.keystr(path) == '.loc'


def test_static_field_is_not_a_parameter():
  @vj.distribution
  class Power(vj.Distribution):
    scale: jax.Array
    power: int = dataclasses.field(default=2, metadata={'static': True})

    @property
    def shape(self):
      return jnp.shape(self.scale)

    def transform(self, eps):
      return self.scale * eps**self.power

  q = Power(jnp.array([1.0, 2.0]), power=3)
  assert len(jax.tree.leaves(q)) == 1
  assert jax.tree.map(jnp.zeros_like, q).power == 3
  slope = jax.jit(jax.grad(lambda q: jnp.sum(q.transform(jnp.full(2, 2.0)))))
  np.testing.assert_array_equal(slope(q).scale, 8.0)


@vj.distribution
class JohnsonSU(vj.Distribution):
  """A user's family: z = sinh(eps + skew), eps ~ N(0, I)."""

  skew: jax.Array

  @property
  def shape(self):
    return jnp.shape(self.skew)

  def noise(self, key):
    return jax.random.normal(key, self.shape)

  def noise_log_prob(self, eps):
    return jnp.sum(-0.5 * eps**2 - 0.5 * jnp.log(2 * jnp.pi))

  def transform(self, eps):
    return jnp.sinh(eps + self.skew)

  def inverse(self, z):
    return jnp.arcsinh(z) - self.skew


@pytest.mark.parametrize('shape', [(), (2, 3)])
def test_density_of_a_users_family_follows_from_its_transform(shape):
  skew = np.linspace(-1.0, 1.0, 6)[: int(np.prod(shape))].reshape(shape)
  z = np.sinh(3 * skew + 0.2)
  q = JohnsonSU(jnp.array(skew))
  value = jax.jit(q.log_prob)(jnp.array(z))
  assert value.shape == ()
  exact = stats.johnsonsu.logpdf(z, -skew, 1.0).sum()
  np.testing.assert_allclose(value, exact, rtol=1e-5)


def test_gradient_of_the_density_of_a_users_family_is_exact():
  log_prob = lambda skew: JohnsonSU(skew).log_prob(jnp.float32(1.5))
  slope = jax.jit(jax.grad(log_prob))
  # d log N(arcsinh(z) - skew) / d skew.
  np.testing.assert_allclose(slope(0.3), np.arcsinh(1.5) - 0.3, rtol=1e-5)


def test_change_of_variables_uses_the_full_jacobian():
  @vj.distribution
  class Walk(vj.Distribution):
    steps: jax.Array

    @property
    def shape(self):
      return jnp.shape(self.steps)

    def noise_log_prob(self, eps):
      return jnp.sum(-0.5 * eps**2 - 0.5 * jnp.log(2 * jnp.pi))

    def transform(self, eps):
      flat = jnp.cumsum((self.steps * eps).ravel()[::-1])
      return flat.reshape(self.shape)

    def inverse(self, z):
      flat = jnp.diff(z.ravel(), prepend=0.0)[::-1]
      return flat.reshape(self.shape) / self.steps

  steps = np.array([[0.5, 2.0], [1.5, 0.7]])
  z = np.array([[0.1, 0.9], [-1.0, 0.4]])
  c = np.tril(np.ones((4, 4))) * steps.ravel()[::-1]
  exact = stats.multivariate_normal(np.zeros(4), c @ c.T).logpdf(z.ravel())
  value = jax.jit(change_of_variables)(Walk(jnp.array(steps)), jnp.array(z))
  np.testing.assert_allclose(value, exact, rtol=1e-5)


def test_pathwise_gradient_of_a_users_family_is_unbiased(key):
  skew = np.array([-0.5, 0.8])
  value = lambda skew, key: vj.pathwise(
    key, JohnsonSU(skew), lambda z: jnp.sum(jnp.arctan(z)), num_samples=4
  )
  slope = jax.jit(jax.vmap(jax.grad(value), (None, 0)))
  slopes = slope(jnp.array(skew), jax.random.split(key, 5000))
  mean = lambda p: expectation(stats.johnsonsu(-p[0], 1.0), np.arctan)
  exact = directional(mean, [skew], [np.ones(2)])
  assert_mean(slopes, exact)


@pytest.mark.parametrize('quantity', ['entropy', 'mean', 'variance'])
def test_missing_closed_form_of_a_users_family_raises(quantity):
  q = JohnsonSU(jnp.zeros(2))
  with pytest.raises(
    TypeError, match=f'JohnsonSU has no closed-form {quantity}'
  ):
    getattr(q, quantity)()


def test_missing_antithetic_noise_of_a_users_family_raises(key):
  with pytest.raises(TypeError, match='JohnsonSU has no antithetic noise'):
    vj.reparameterise_many(key, JohnsonSU(jnp.zeros(2)), 2, antithetic=True)


def test_family_without_noise_raises(key):
  @vj.distribution
  class Nothing(vj.Distribution):
    loc: jax.Array

  q = Nothing(0.0)
  for call in [
    functools.partial(q.noise, key),
    functools.partial(q.transform, 0.0),
    functools.partial(q.inverse, 0.0),
    functools.partial(q.noise_log_prob, 0.0),
  ]:
    with pytest.raises(TypeError, match=r'Nothing has no z = g\(phi, eps\)'):
      call()


def test_bfloat16_log_probs_are_summed_in_float32():
  logits = jnp.full(784, 1.0, jnp.bfloat16)
  term = float(vj.Bernoulli(logits[0]).log_prob(jnp.ones((), jnp.bfloat16)))
  total = vj.Bernoulli(logits).log_prob(jnp.ones(784, jnp.bfloat16))
  assert total.dtype == jnp.float32
  np.testing.assert_allclose(total, 784 * term, rtol=1e-6)


def test_a_family_without_inverse_is_named_as_such():
  @vj.distribution
  class Squared(vj.Distribution):
    scale: jax.Array

    def transform(self, eps):
      return self.scale * eps**2

  with pytest.raises(TypeError, match='Squared has no inverse: define'):
    Squared(1.0).inverse(1.0)
