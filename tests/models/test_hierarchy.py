"""Several stochastic layers: exact where linear, refused where impossible."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import vae_jax as vj
from tests.helpers import assert_mean
from vae_jax.models import POSTERIORS
from vae_jax.models.hierarchy import precision_weighted

W = np.array([[1.0, 0.6], [1.0, -0.6], [0.4, 0.0]])
A = np.diag([0.7, -0.5])
BIAS, SHIFT = np.array([0.1, -0.1, 0.2]), np.array([0.1, -0.2])
SIGMA, SIGMA1 = 0.6, 0.8
X = np.random.RandomState(0).normal(size=(4, 3)).astype(np.float32)
COVARIANCE = A @ A.T + SIGMA1**2 * np.eye(2)  # of z1


def log_marginal():
  """Returns log p(x), `[4]`, of the model of `exact_params`."""
  mean, cov = W @ SHIFT + BIAS, W @ COVARIANCE @ W.T + SIGMA**2 * np.eye(3)
  return stats.multivariate_normal.logpdf(X.astype(float), mean, cov)


@functools.cache
def make(inference, latent_dims=(2, 2), **options):
  return vj.make_vae(
    data_shape=(3,),
    latent_dims=latent_dims,
    inference=inference,
    **{
      'hidden_sizes': (),
      'layer_hidden_sizes': (),
      'likelihood': 'normal_fixed',
      'sigma': SIGMA,
    }
    | options,
  )


def dense(kernel, bias):
  return {'kernel': np.asarray(kernel), 'bias': np.asarray(bias)}


def outputs(loc, log_scale, **more):
  """Returns the network whose log_scale is constant."""
  constant = dense(np.zeros_like(loc['kernel']), log_scale)
  return {'network': {'loc': loc, 'log_scale': constant, **more}}


def exact_params(inference):
  """Returns params of `make` whose q(z|x) is the exact posterior."""
  likelihood = np.sum(W**2, axis=0) / SIGMA**2  # Precision of x in z1.
  if inference == 'bottom_up':
    prior = 1 / np.diag(COVARIANCE)
    gain = W / SIGMA**2 / (likelihood + prior)
    offset = prior * SHIFT / (likelihood + prior) - BIAS @ gain
    slope = np.diag(A) / SIGMA1**2
    of_z2 = 1 + np.diag(A) * slope
    encoder = {
      'z1': outputs(dense(gain, offset), -0.5 * np.log(likelihood + prior)),
      'z2': outputs(
        dense(np.diag(slope / of_z2), -SHIFT * slope / of_z2),
        -0.5 * np.log(of_z2),
      ),
    }
  else:
    # Below the top the density of x in z1 alone: p(z1|z2) is multiplied.
    gain = W / SIGMA**2 / likelihood
    across = 1 / likelihood + SIGMA1**2
    precision = 1 + np.diag(A) ** 2 / across
    top = np.diag(np.diag(A) / across / precision)
    encoder = {
      'z1': outputs(
        dense(gain, -BIAS @ gain),
        -0.5 * np.log(likelihood),
        next=dense(gain, -BIAS @ gain - SHIFT),
      ),
      'z2': outputs(dense(top, np.zeros(2)), -0.5 * np.log(precision)),
    }
  params = {
    'encoder': encoder,
    'decoder': {'output': dense(W.T, BIAS)},
    'prior': {'z1': outputs(dense(A.T, SHIFT), np.full(2, np.log(SIGMA1)))},
  }
  return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), params)


INFERENCES = pytest.mark.parametrize('inference', ['bottom_up', 'top_down'])


@INFERENCES
def test_params_have_the_structure_of_the_layers(inference):
  found = jax.eval_shape(make(inference).init, jax.random.key(0))
  assert jax.tree.map(jnp.shape, found) == jax.tree.map(
    jnp.shape, exact_params(inference)
  )


@pytest.mark.slow
@INFERENCES
def test_every_bound_of_the_exact_posterior_is_log_p_of_x(inference):
  """All weights are equal: any K, any draw, and no variance at all."""
  model, params = make(inference), exact_params(inference)
  for options in (
    {'objective': 'elbo'},
    {'objective': 'iwae', 'num_samples': 3, 'estimator': 'gdreg'},
  ):
    loss = vj.make_loss(model, **options)
    _, terms = jax.jit(loss)(jax.random.key(1), params, X)
    name = 'elbo' if options['objective'] == 'elbo' else 'iw_elbo'
    np.testing.assert_allclose(terms[name], log_marginal(), atol=2e-5)


@pytest.mark.slow
@INFERENCES
def test_stl_and_dreg_have_no_variance_at_the_posterior(inference):
  """phi is stop-gradient in the density of every layer."""
  model, params = make(inference), exact_params(inference)

  def gradient(key, **options):
    loss = vj.make_loss(model, **options)
    return jax.grad(lambda p: loss(key, p, X)[0])(params)['encoder']

  spread = {}
  for name, options in {
    'stl': {'estimator': 'stl'},
    'dreg': {'objective': 'iwae', 'estimator': 'dreg', 'num_samples': 2},
    'pathwise': {'objective': 'iwae', 'num_samples': 2},
  }.items():
    keys = jax.random.split(jax.random.key(2), 20)
    one = functools.partial(gradient, **options)
    spread[name] = jax.tree.map(np.max, jax.jit(jax.vmap(one))(keys))
  jax.tree.map(
    lambda x: np.testing.assert_allclose(x, 0, atol=1e-4),
    (
      spread['stl'],
      spread['dreg'],
    ),
  )
  for layer in ('z1', 'z2'):
    assert max(map(float, jax.tree.leaves(spread['pathwise'][layer]))) > 0.05


@pytest.mark.slow
@INFERENCES
def test_dreg_and_gdreg_have_the_pathwise_gradient(inference):
  """In every parameter, also of the network that a top-down q shares with p.

  Paired by draw, at 6 sigma: a false alarm in 2e-9 of each of 200 comparisons.
  """
  model, params = make(inference), exact_params(inference)
  leaves, structure = jax.tree.flatten(params)
  keys = jax.random.split(jax.random.key(4), len(leaves))
  move = lambda key, x: x + 0.2 * jax.random.normal(key, x.shape)
  params = structure.unflatten(map(move, keys, leaves))

  @jax.jit
  def gradients(keys):
    def one(key, estimator):
      options = {'objective': 'iwae', 'num_samples': 2, 'estimator': estimator}
      loss = vj.make_loss(model, **options)
      return jax.grad(lambda p: loss(jax.random.clone(key), p, X)[0])(params)

    names = ('pathwise', 'dreg', 'gdreg')
    return jax.vmap(lambda key: {name: one(key, name) for name in names})(keys)

  found = gradients(jax.random.split(jax.random.key(5), 10_000))
  for name in ('dreg', 'gdreg'):
    difference = jax.tree.map(jnp.subtract, found[name], found['pathwise'])
    for path, leaf in jax.tree_util.tree_leaves_with_path(difference):
      assert_mean(leaf, np.zeros(leaf.shape[1:]))
      is_prior = path[0].key == 'prior'
      if path[0].key == 'encoder' or (name == 'gdreg' and is_prior):
        assert np.max(np.std(leaf, axis=0)) > 1e-3, path


@INFERENCES
def test_draws_of_the_prior_have_the_moments_of_the_model(inference):
  model, params = make(inference), exact_params(inference)

  def draw(key):
    z_key, x_key = jax.random.split(key)
    z = model.prior(params).sample(z_key)
    return z['z1'], model.decode(params, z).sample(x_key)

  keys = jax.random.split(jax.random.key(3), 20_000)
  z1, x = map(np.asarray, jax.jit(jax.vmap(draw))(keys))
  assert_mean(z1, SHIFT)
  assert_mean((z1 - SHIFT) ** 2, np.diag(COVARIANCE))
  assert_mean(x, W @ SHIFT + BIAS)
  spread = W @ COVARIANCE @ W.T + SIGMA**2 * np.eye(3)
  centred = x - W @ SHIFT - BIAS
  assert_mean(centred[:, 0] * centred[:, 1], spread[0, 1])


def test_precision_weighting_is_the_product_of_two_normals():
  a = {'loc': jnp.array([0.3, 5.0]), 'log_scale': jnp.array([0.2, -30.0])}
  b = {'loc': jnp.array([-1.0, 1.0]), 'log_scale': jnp.array([-0.4, 30.0])}
  found = precision_weighted(a, b)
  weights = np.exp(-2 * np.array([0.2, -0.4]))
  loc = (0.3 * weights[0] - weights[1]) / weights.sum()
  np.testing.assert_allclose(found['loc'], [loc, 5.0], rtol=1e-5)
  log_scale = -0.5 * np.log(weights.sum())
  np.testing.assert_allclose(found['log_scale'], [log_scale, -20], rtol=1e-5)


@pytest.mark.slow
@INFERENCES
def test_layers_have_their_sizes_and_every_parameter_a_gradient(inference):
  dims = (4, 3, 2)
  model = make(
    inference,
    dims,
    hidden_sizes=(5,),
    layer_hidden_sizes=(6, 3),
    posterior='laplace',
    prior='logistic',
  )
  loss = vj.make_loss(model, objective='iwae', estimator='gdreg', num_samples=2)

  @jax.jit
  def gradient(key):
    init_key, loss_key = jax.random.split(key)
    params = model.init(init_key)
    return jax.grad(lambda p: loss(loss_key, p, X)[0])(params)

  for path, leaf in jax.tree_util.tree_leaves_with_path(
    gradient(jax.random.key(0))
  ):
    assert np.all(np.isfinite(leaf)), path
    assert np.any(leaf != 0), path
  shapes = {f'z{i + 1}': (size,) for i, size in enumerate(dims)}
  params = jax.eval_shape(model.init, jax.random.key(0))
  # p(z1|z2) mirrors the hidden layers: from z2 to 3, 6 and z1.
  kernels = {x.shape for x in jax.tree.leaves(params['prior']['z1'])}
  assert {(3, 3), (3, 6), (6, 4)} <= kernels

  def ask(params):
    q, p = model.encode(params, X[0]), model.prior(params)
    assert q.shape == p.shape == shapes
    up = tuple(shapes)
    assert q.order == (up if inference == 'bottom_up' else up[::-1])
    assert p.order == up[::-1]
    top = up[-1]
    assert isinstance(p.parts[top], vj.Logistic)
    assert isinstance(q.part(up[0], q.sample(jax.random.key(0))), vj.Laplace)

  jax.eval_shape(ask, params)


@INFERENCES
def test_only_the_ladder_posterior_has_a_gradient_in_p(inference):
  params, x = exact_params(inference), jnp.asarray(X[0])
  z = {'z1': jnp.ones(2), 'z2': jnp.ones(2)}

  @jax.jit
  def gradient(params):
    return jax.grad(lambda p: make(inference).encode(p, x).log_prob(z))(params)

  leaves = jax.tree.leaves(gradient(params)['prior'])
  is_any = any(np.any(leaf != 0) for leaf in leaves)
  assert is_any == (inference == 'top_down')


def test_one_program_serves_every_call():
  """The functions of the conditionals are made once."""
  model, count = make('bottom_up'), []

  @jax.jit
  def log_prob(q, z):
    count.append(1)
    return q.log_prob(z)

  params = exact_params('bottom_up')
  for x in X[:2]:
    q = model.encode(params, jnp.asarray(x))
    log_prob(q, {'z1': jnp.zeros(2), 'z2': jnp.zeros(2)})
  assert len(count) == 1


def test_a_run_of_one_layer_has_no_hierarchy():
  one = vj.make_vae(data_shape=(3,), latent_dim=2, hidden_sizes=())
  assert one.init(jax.random.key(0)).keys() == {'encoder', 'decoder'}


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'latent_dims': (3,)}, r'latent_dims: got \(3,\), expected two or more'),
    ({'posterior': 'full_normal'}, 'posterior: .* a loc and a log_scale'),
    ({'posterior': 'bernoulli'}, 'posterior: .* a loc and a log_scale'),
    ({'inference': 'sideways'}, "inference is 'sideways'|inference: got"),
  ],
)
def test_impossible_hierarchies_are_refused(options, message):
  with pytest.raises(ValueError, match=message):
    vj.make_vae(data_shape=(3,), **{'latent_dims': (3, 2)} | options)


def test_location_scale_families_are_admitted():
  for name, row in POSTERIORS.items():
    if not row.options and row.head(2).outputs.keys() == {'loc', 'log_scale'}:
      vj.make_vae(data_shape=(3,), latent_dims=(3, 2), posterior=name)


def test_both_orders_share_p():
  """Only q differs: the generative params have the same shapes."""
  a, b = (
    jax.eval_shape(make(name).init, jax.random.key(0))
    for name in ('bottom_up', 'top_down')
  )
  shapes = lambda tree: jax.tree.map(jnp.shape, tree | {'encoder': ()})
  assert shapes(a) == shapes(b)


def test_the_encoder_of_counts_sees_their_logarithms(key):
  options = {
    'data_shape': (3,),
    'latent_dims': (2, 2),
    'hidden_sizes': (4,),
    'layer_hidden_sizes': (4,),
  }
  x = jnp.array([0.0, 7.0, 1000.0])
  counts = vj.make_vae(likelihood='poisson', **options)
  reals = vj.make_vae(likelihood='normal_fixed', **options)
  params = reals.init(key)
  found = counts.encode(params, x).parts['z1']
  expected = reals.encode(params, jnp.log1p(x)).parts['z1']
  np.testing.assert_allclose(found.loc, expected.loc, rtol=1e-6)
  with pytest.raises(ValueError, match='a size factor belongs to one layer'):
    vj.make_vae(likelihood='poisson', size_factor='total', **options)
