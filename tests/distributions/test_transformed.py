"""Normalizing flows: densities, draws and gradients of `Transformed`."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
import vae_jax.distributions as vd
from tests.distributions.test_bijections import perturb
from tests.helpers import assert_trees_close

SIZE = 3


def flow(size=SIZE, base=None, scale=0.4):
  keys = jax.random.split(jax.random.key(1), 3)
  return vj.Transformed(
    base or vj.Normal(jnp.zeros(size), jnp.zeros(size)),
    [
      perturb(vj.AffineCoupling.init(keys[0], size, width=6), scale),
      vj.Permutation.reversal(size),
      perturb(vj.AffineCoupling.init(keys[1], size, width=6), scale),
      perturb(vj.MaskedAutoregressive.init(keys[2], size, width=6), scale),
      vj.Affine(0.1 * jnp.arange(size), jnp.full(size, 0.2)),
    ],
  )


@functools.cache
def program():
  @jax.jit
  def compute(q, key):
    z, log_q = q.draw_and_log_prob(key)
    eps = q.noise(key)
    stopped = lambda q, z: jax.lax.stop_gradient(q).log_prob(z)
    return {
      'z': z,
      'log_q': log_q,
      'eps': eps,
      'again': q.log_prob(z),
      'changed': vd.change_of_variables(q, z),
      'draw': vj.reparameterise(key, q),
      'sample': vj.sample(key, q),
      'transform': q.transform(eps),
      'inverse': q.inverse(z),
      'stopped': jax.grad(stopped, (0, 1))(q, z),
      'slope': jax.grad(lambda q: q.log_prob(z))(q),
      'path': jax.grad(lambda q: vj.reparameterise(key, q).sum())(q),
    }

  with jax.debug_key_reuse(False):
    return compute(flow(), jax.random.key(3))


@pytest.mark.slow
def test_density_of_a_draw_agrees_in_one_pass_by_inverse_and_by_jacobian():
  found = program()
  for name in ('again', 'changed'):
    np.testing.assert_allclose(found['log_q'], found[name], rtol=1e-5)
  for name in ('draw', 'sample', 'transform'):
    assert_trees_close(found[name], found['z'], rtol=1e-5, atol=1e-6)
  assert_trees_close(found['inverse'], found['eps'], rtol=1e-4, atol=1e-5)


def test_stop_gradient_stops_the_parameters_of_the_bijections():
  found = program()
  of_q, of_z = found['stopped']
  assert not any(np.any(x) for x in jax.tree.leaves(of_q))
  assert np.all(of_z != 0)
  for tree in (found['slope'], found['path']):
    assert all(np.any(x) for x in jax.tree.leaves(tree.base))
    assert all(np.any(x) for x in jax.tree.leaves(tree.bijections[2]))


@pytest.mark.quick('2')
@pytest.mark.parametrize('size', [1, 2])
def test_density_integrates_to_one(size):
  count = {1: 2001, 2: 401}[size]
  line = jnp.linspace(-15.0, 15.0, count)
  grid = jnp.stack(jnp.meshgrid(*[line] * size), -1).reshape(-1, size)
  log_prob = jax.jit(jax.vmap(vj.Transformed.log_prob, (None, 0)))
  p = np.exp(log_prob(flow(size), grid))
  total = float(np.sum(p, dtype=float)) * float(line[1] - line[0]) ** size
  np.testing.assert_allclose(total, 1, rtol=1e-4)


def test_closed_forms_are_refused():
  q = flow()
  assert (q.has_entropy, q.has_moments, q.has_inverse) == (False, False, True)
  assert q.shape == (SIZE,)
  for quantity in ('entropy', 'mean', 'variance'):
    with pytest.raises(TypeError, match=f'no closed-form {quantity}'):
      getattr(q, quantity)()


def test_a_bijection_without_inverse_leaves_draws_with_their_density():
  @vj.distribution
  class OneWay(vj.Bijection):
    scale: jax.Array
    has_inverse = False

    def forward_and_log_det(self, x):
      return x * self.scale, x.size * jnp.log(self.scale)

  q = vj.Transformed(vj.Normal(jnp.zeros(2), 0.0), (OneWay(jnp.array(2.0)),))
  assert not q.has_inverse
  z, log_q = q.draw_and_log_prob(jax.random.key(0))
  exact = vj.Normal(jnp.zeros(2), jnp.log(2.0)).log_prob(z)
  np.testing.assert_allclose(log_q, exact, rtol=1e-5)
  with pytest.raises(TypeError, match='Transformed has no inverse'):
    q.log_prob(z)


def test_a_discrete_base_is_refused():
  with pytest.raises(TypeError, match='got base Bernoulli, expected a density'):
    vj.Transformed(vj.Bernoulli(jnp.zeros(2)), ())


@pytest.mark.slow
def test_score_function_is_refused_where_bijections_move_a_bounded_support():
  shift = lambda loc, base: vj.Transformed(base, (vj.Affine(loc, 0.0),))
  f = lambda z: jnp.sum(jnp.tanh(z))

  def estimate(loc, base):
    return vj.score_function(jax.random.key(0), shift(loc, base), f)

  positive = vj.Exponential(jnp.zeros(2))
  with pytest.raises(TypeError, match='base Exponential has a bounded support'):
    jax.grad(estimate)(0.3, positive)
  normal = vj.Normal(jnp.zeros(2), 0.0)

  @jax.jit
  def admitted():
    # The base's own parameters have their score function.
    of_base = jax.grad(lambda base: estimate(0.3, base))(positive).log_rate
    bases = (normal, vj.Transformed(normal, ()))
    return of_base, [jax.grad(estimate)(0.3, base) for base in bases]

  with jax.debug_key_reuse(False):
    assert all(np.all(x != 0) for x in jax.tree.leaves(admitted()))
