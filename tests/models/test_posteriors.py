import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from tests.helpers import assert_mean
from vae_jax.models import POSTERIORS
from vae_jax.models.make import make_vae

FAMILIES = {
  'normal': vj.Normal,
  'full_normal': vj.MultivariateNormal,
  'low_rank_normal': vj.LowRankNormal,
  'laplace': vj.Laplace,
  'logistic': vj.Logistic,
  'student_t': vj.StudentT,
  'gamma': vj.Gamma,
  'beta': vj.Beta,
  'iaf': vj.Transformed,
  'realnvp': vj.Transformed,
  'bernoulli': vj.Bernoulli,
  'categorical': vj.Categorical,
}
FLOWS = ('iaf', 'realnvp')
OPTIONS = {
  'posterior_rank': 2,
  'posterior_df': 4.0,
  'num_categories': 3,
  'posterior_depth': 3,
  'posterior_width': 4,
}


def head_of(name, size=3):
  row = POSTERIORS[name]
  return row.head(size, **{option: OPTIONS[option] for option in row.options})


def draw(shapes, seed=0):
  random = np.random.RandomState(seed).standard_normal
  some = lambda shape: jnp.asarray(random(shape), jnp.float32)
  return {name: some(shape) for name, shape in shapes.items()}


def draw_params(head):
  """Random parameters: at the start a flow is the identity."""
  random = np.random.RandomState(7).standard_normal
  params = jax.eval_shape(head.init, jax.random.key(0))
  return jax.tree.map(lambda x: jnp.asarray(random(x.shape), x.dtype), params)


def test_table_of_posteriors_is_complete():
  assert set(POSTERIORS) == set(FAMILIES)


@pytest.mark.parametrize('name', POSTERIORS)
def test_encoder_outputs_make_a_posterior(name):
  head = head_of(name)
  params = head.init(jax.random.key(0))

  def make(values):
    q = head.make(params, values)
    assert type(q) is FAMILIES[name]
    assert q.shape == (3,)
    return q.log_prob(0.5 * jnp.ones(3) if name == 'beta' else jnp.ones(3))

  assert np.isfinite(jax.jit(make)(draw(head.outputs)))
  # Only flows learn something beside the network.
  assert set(params) == ({'flow'} if name in FLOWS else set())


@pytest.mark.parametrize('name', ['normal', 'laplace', 'logistic', 'student_t'])
def test_location_and_scale_are_the_outputs(name):
  values = {'loc': jnp.array([1.0, 2.0]), 'log_scale': jnp.array([0.5, -1.0])}
  q = head_of(name, 2).make({}, values)
  np.testing.assert_array_equal(q.loc, values['loc'])
  np.testing.assert_array_equal(q.log_scale, values['log_scale'])
  assert getattr(q, 'df', 4.0) == 4.0


def test_full_normal_accepts_any_matrix():
  values = {
    'loc': jnp.zeros(2),
    'scale_tril': jnp.array([[0.1, 9.0], [0.5, -0.3]]),
  }
  q = POSTERIORS['full_normal'].head(2).make({}, values)
  c = np.array([[np.exp(0.1), 0], [0.5, np.exp(-0.3)]])
  np.testing.assert_allclose(q.covariance(), c @ c.T, rtol=1e-6)


def test_factor_of_the_low_rank_normal_is_in_units_of_the_scales():
  values = draw(head_of('low_rank_normal').outputs)
  q = head_of('low_rank_normal').make({}, values)
  s, v = (np.float64(values[name]) for name in ('log_scale', 'factor'))
  b = np.diag(np.exp(s)) @ (np.eye(3) + v @ v.T) @ np.diag(np.exp(s))
  np.testing.assert_allclose(q.covariance(), b, rtol=1e-5)


def test_outputs_of_gamma_and_beta_are_logarithms():
  zeros = lambda name: jax.tree.map(
    jnp.zeros, head_of(name).outputs, is_leaf=lambda x: isinstance(x, tuple)
  )
  # At the start q is the prior.
  for name in ('gamma', 'beta'):
    q = head_of(name).make({}, zeros(name))
    p = make_vae(data_shape=(2,), latent_dim=3, posterior=name, prior=name)
    jax.tree.map(np.testing.assert_array_equal, q, p.prior({}))
  values = {'log_concentration': jnp.array([-50.0, 1, 50]), 'log_rate': 0.0}
  q = POSTERIORS['gamma'].head(3).make({}, values)
  np.testing.assert_allclose(q.concentration, np.exp([-6.0, 1, 18]), rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize('name', FLOWS)
def test_flows_depend_on_the_context_and_have_exact_densities(name):
  """Log q of a draw in one pass, by the inverse, and by the Jacobian."""
  head = head_of(name)
  params = draw_params(head)
  outputs = draw(head.outputs, seed=1)
  key = jax.random.key(2)

  @jax.jit
  def program(outputs):
    q = head.make(params, outputs)
    z, one_pass = q.draw_and_log_prob(key)
    eps = q.base.inverse(q.base.draw(key))
    jacobian = jax.jacfwd(q.transform)(eps)
    by_jacobian = q.noise_log_prob(eps) - jnp.linalg.slogdet(jacobian)[1]
    moved = outputs | {'context': outputs['context'] + 1}
    other = head.make(params, moved).log_prob(z)
    log_q = lambda outputs: head.make(params, outputs).log_prob(z)
    slope = jax.grad(log_q)(outputs)['context']
    return jacobian, one_pass, q.log_prob(z), by_jacobian, other, slope

  with jax.debug_key_reuse(False):
    jacobian, one_pass, by_inverse, by_jacobian, other, slope = program(outputs)
  assert np.all(slope != 0)
  # Without the reversals it would be triangular.
  assert np.count_nonzero(jacobian) > 6
  np.testing.assert_allclose(by_inverse, one_pass, atol=2e-4)
  np.testing.assert_allclose(by_jacobian, one_pass, atol=2e-4)
  assert abs(other - one_pass) > 0.05
  start = head.make(head.init(jax.random.key(0)), outputs)
  z = jnp.ones(3)
  np.testing.assert_allclose(
    start.log_prob(z), start.base.log_prob(z), rtol=1e-6
  )


def test_decoder_sees_labels_one_hot():
  vae = make_vae(
    data_shape=(2,),
    latent_dim=2,
    hidden_sizes=(),
    posterior='categorical',
    prior='categorical',
    num_categories=3,
  )
  params = jax.jit(vae.init)(jax.random.key(0))
  layer = params['decoder']['output']
  assert layer['kernel'].shape == (6, 2)
  logits = vae.decode(params, jnp.array([2, 0])).logits
  expected = layer['kernel'][2] + layer['kernel'][3] + layer['bias']
  np.testing.assert_allclose(logits, expected, rtol=1e-5)
  assert vae.prior(params).shape == vae.encode(params, jnp.ones(2)).shape


@pytest.mark.slow
@pytest.mark.parametrize(
  'name', ['low_rank_normal', pytest.param('iaf', marks=pytest.mark.slow)]
)
def test_stl_and_dreg_have_the_mean_of_the_pathwise_gradient(name):
  """Paired by their noise; false alarms below 2e-9 per number."""
  head = head_of(name)
  params = draw_params(head)
  outputs = draw(head.outputs, seed=1)
  log_joint = lambda z: z[0] * jnp.tanh(z[1] * z[2]) - jnp.sum(z**2)
  free = {'params': params, 'outputs': outputs}

  def difference(key):
    def bound(free, estimator, count):
      q = head.make(free['params'], free['outputs'])
      return vj.iw_elbo(
        key, q, log_joint, num_samples=count, estimator=estimator
      )

    slope = lambda *rest: jax.grad(bound)(free, *rest)
    pairs = (('stl', 1), ('dreg', 2))
    return [
      jax.tree.map(jnp.subtract, slope(other, k), slope('pathwise', k))
      for other, k in pairs
    ]

  keys = jax.random.split(jax.random.key(3), 5000)
  with jax.debug_key_reuse(False):
    found = jax.jit(lambda keys: jax.lax.map(difference, keys, batch_size=500))(
      keys
    )
  jax.tree.map(lambda x: assert_mean(x, 0.0), found)
  assert any(np.any(np.std(x, axis=0) > 1e-3) for x in jax.tree.leaves(found))


def test_a_decoder_takes_labels_and_one_hot_labels():
  vae = vj.make_vae(
    data_shape=(2,),
    latent_dim=3,
    num_categories=3,
    hidden_sizes=(),
    posterior='categorical',
    prior='categorical',
    likelihood='normal',
  )
  params, labels = vae.init(jax.random.key(0)), jnp.array([2, 0, 1])
  decode = jax.jit(lambda z: vae.decode(params, z).mean())
  one_hot = jax.nn.one_hot(labels, 3)
  np.testing.assert_array_equal(decode(labels), decode(one_hot))
  assert not np.allclose(decode(labels), decode(one_hot.T))
