"""Draws that keep their logarithms stand in for arrays."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
import vae_jax.distributions as vd
from vae_jax.ais.path import Path, flatten_events
from vae_jax.evaluate.dimensions import kl_sizes

VALUE = jnp.array([0.2, 0.5, 0.9])
DRAW = vd.LoggedDraw(VALUE, jnp.log(VALUE), jnp.log1p(-VALUE))
W = jnp.arange(6.0).reshape(3, 2)

USES = {
  'arithmetic': lambda z: (2 - z) * z / (1 + z) - z**2 + 3**z,
  'sign': lambda z: abs(-z) + (+z),
  'floor': lambda z: z // 0.3 + 2 // z,
  'matmul': lambda z: z @ W + W.T @ z,
  'numpy': lambda z: np.ones(3, np.float32) * z + np.float32(2) / z,
  'comparison': lambda z: jnp.where((z > 0.3) & (z <= 0.5), z, 0),
  'indexing': lambda z: z[0] + z[1:].sum() + len(z) + z.reshape(3, 1).shape[1],
  'functions': lambda z: jnp.exp(z).sum() + jnp.dot(z, W) + jnp.mean(z),
  'stacking': lambda z: jnp.concatenate([z, 1 - z]),
  'set': lambda z: z.at[0].set(1.0),
}


@pytest.mark.quick('set', 'numpy', 'sign', 'stacking', 'indexing', 'matmul')
@pytest.mark.parametrize('name', USES)
def test_draw_is_used_as_an_array(name):
  use, total = USES[name], lambda z: jnp.sum(USES[name](z))
  np.testing.assert_allclose(use(DRAW), use(VALUE))
  np.testing.assert_allclose(
    jax.grad(total)(DRAW).value, jax.grad(total)(VALUE), rtol=1e-6
  )


def test_draw_passes_through_transformations():
  keep = jax.jit(jax.vmap(lambda z: jax.lax.stop_gradient(z)))
  for z in [keep(DRAW), copy.deepcopy(DRAW), pickle.loads(pickle.dumps(DRAW))]:
    assert isinstance(z, vd.LoggedDraw)
    np.testing.assert_array_equal(z.log_z, DRAW.log_z)
  assert z.shape == jnp.shape(z) == (3,)
  assert np.asarray(z, np.float64).dtype == np.float64
  assert isinstance(jnp.asarray(z), jax.Array)
  assert [float(x) for x in z] == VALUE.tolist()


def test_functions_that_need_the_logarithms_cannot_lose_them_silently():
  for function in (jax.lax.exp, jax.nn.sigmoid):
    with pytest.raises(ValueError, match=r'convert .* using jax\.numpy\.array'):
      function(DRAW)


@pytest.mark.slow
def test_cotangents_of_a_plain_draw_are_arrays(key):
  q = vd.Gamma(jnp.array([0.4, 2.0]), 0.0)
  draw = lambda q: vj.reparameterise(key, q)
  with jax.debug_key_reuse(False):
    z, pull = jax.vjp(draw, q)
    _, pull_plain = jax.vjp(lambda q: jnp.asarray(draw(q)), q)
    _, forward = jax.jvp(lambda q: jnp.asarray(draw(q)), (q,), (q,))
  zeros = jnp.zeros(2)
  (expected,) = pull(vd.LoggedDraw(jnp.ones(2), zeros, None))
  jax.tree.map(
    np.testing.assert_array_equal, pull_plain(jnp.ones(2))[0], expected
  )
  assert forward.shape == z.shape


@pytest.mark.slow
@pytest.mark.parametrize(
  'q',
  [
    vd.Gamma(jnp.full(3, 0.1), 0.0),
    vd.Beta(jnp.full(3, 0.1), 0.2),
    vd.RelaxedBernoulli(0.1, jnp.zeros(3)),
    vd.RelaxedCategorical(0.1, jnp.zeros(3)),
  ],
)
def test_draws_flattened_for_hmc_and_reports_have_the_size_of_the_event(q, key):
  z = vj.sample(key, q)
  assert isinstance(z, vd.LoggedDraw)
  ravel, path = flatten_events(q, Path(q.log_prob, q.log_prob))
  assert ravel(z).shape == (3,)
  assert not isinstance(ravel(z), vd.LoggedDraw)
  assert np.isfinite(path.log_ratio(ravel(z)))
  sizes = kl_sizes(q, q)
  assert sum(sizes.values()) == 3


@pytest.mark.quick('RelaxedBernoulli', 'RelaxedCategorical')
@pytest.mark.parametrize(
  'q',
  [
    vd.Gamma(jnp.array([0.7, 3.0, 9.0]), -0.3),
    vd.Beta(jnp.array([0.7, 3.0, 2.0]), 1.4),
    vd.RelaxedBernoulli(0.9, jnp.array([0.4, -1.0, 0.0])),
    vd.RelaxedCategorical(0.9, jnp.array([0.4, -1.0, 0.0])),
  ],
  ids=lambda q: q.name,
)
def test_gradient_in_a_draw_is_that_of_an_array(q, key):
  z = vj.sample(key, q)
  gradient = jax.jit(jax.grad(q.log_prob))
  expected = gradient(jnp.asarray(z))
  np.testing.assert_allclose(gradient(z), expected, rtol=1e-4)
  # Second derivatives, through the draw and through the density.
  twice = lambda f: jax.grad(lambda z: jnp.sum(jax.grad(f)(z) ** 2))
  np.testing.assert_allclose(
    jax.jit(twice(q.log_prob))(z),
    jax.jit(twice(q.log_prob))(jnp.asarray(z)),
    rtol=1e-3,
  )


def test_gradients_pass_a_draw_that_its_dtype_cannot_hold():
  """log q(z) of z = sigmoid(y / t) at y / t = 300, and of 1 - z."""
  for y in (30.0, -30.0):

    def log_prob(loc, y=y):
      logit = (loc + y) / 0.1
      z = vd.logged_draw.keep_logs(
        jax.nn.sigmoid(logit), -jax.nn.softplus(-logit), -jax.nn.softplus(logit)
      )
      return vd.RelaxedBernoulli(0.1, 0.5).log_prob(z)

    # eps = loc + y - .5: log p = log logistic(eps) + log t - log z (1 - z).
    exact = lambda loc, y=y: (
      -abs(loc + y - 0.5) + abs((loc + y) / 0.1) + jnp.log(0.1)
    )
    np.testing.assert_allclose(log_prob(0.2), exact(0.2), rtol=1e-6)
    slope = jax.grad(log_prob)(0.2)
    np.testing.assert_allclose(slope, jax.grad(exact)(0.2), rtol=1e-5)
