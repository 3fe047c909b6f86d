"""Conditional VAEs from the tables, against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import vae_jax as vj
from vae_jax.models.condition import make_code, one_hot
from vae_jax.models.make import make_vae
from vae_jax.models.networks import NETWORKS, joined

LATENT_DIM, DATA_DIM, COUNT = 2, 3, 6


def random_like(key, params):
  """Returns parameters of the same shapes, all different and not 0."""
  leaves, structure = jax.tree.flatten(params)
  keys = jax.random.split(key, len(leaves))
  draw = lambda key, leaf: 0.5 * jax.random.normal(key, leaf.shape)
  return jax.tree.unflatten(structure, list(map(draw, keys, leaves)))


def linear_model(key, **options):
  """Returns a conditional linear-Gaussian model whose q(z|x, y) is exact.

  p(z|y) = N(M y + m, S), p(x|z, y) = N(W z + V y + b, sigma^2), for the code y.
  """
  model = make_vae(
    data_shape=(DATA_DIM,),
    latent_dim=LATENT_DIM,
    hidden_sizes=(),
    posterior='full_normal',
    likelihood='normal',
    **options,
  )
  params = random_like(key, model.init(jax.random.key(0)))
  output, size = params['decoder']['output'], LATENT_DIM
  w, v = (np.asarray(x).T for x in np.split(output['kernel'], [size]))
  m, offset, scale = np.zeros((size, v.shape[1])), np.zeros(size), np.ones(size)
  if 'prior' in params:
    # A scale that depends on y would have no exact encoder that is linear.
    kernel = params['prior']['log_scale']['kernel']
    params['prior']['log_scale']['kernel'] = jnp.zeros_like(kernel)
    m = np.asarray(params['prior']['loc']['kernel']).T
    offset = np.asarray(params['prior']['loc']['bias'])
    scale = np.exp(np.asarray(params['prior']['log_scale']['bias']))
  noise = np.exp(float(params['decoder']['log_scale']))
  covariance = np.linalg.inv(np.diag(scale**-2) + w.T @ w / noise**2)
  gain = covariance @ w.T / noise**2
  by_code = np.concatenate([gain, m - gain @ (v + w @ m)], axis=1)
  root = np.linalg.cholesky(covariance)
  # The posterior takes the exponential of the diagonal.
  tril = np.tril(root, -1) + np.diag(np.log(np.diag(root)))
  b = np.asarray(output['bias'])
  params['encoder'] = {
    'loc': {
      'kernel': jnp.asarray(by_code.T, float),
      'bias': jnp.asarray(offset - gain @ (b + w @ offset), float),
    },
    'scale_tril': {
      'kernel': jnp.zeros((by_code.shape[1], size**2)),
      'bias': jnp.asarray(tril.ravel(), float),
    },
  }
  mean = lambda code: b + v @ code + w @ (m @ code + offset)
  total = w @ np.diag(scale**2) @ w.T + noise**2 * np.eye(DATA_DIM)
  return (
    model,
    params,
    lambda x, code: stats.multivariate_normal.logpdf(x, mean(code), total),
  )


@pytest.mark.slow
@pytest.mark.parametrize('condition_prior', [False, True])
@pytest.mark.parametrize('kind', ['num_classes', 'num_covariates'])
def test_linear_gaussian_bounds_equal_log_p_of_x_given_y(
  key, kind, condition_prior
):
  model_key, x_key, y_key, elbo_key, nll_key = jax.random.split(key, 5)
  options = {kind: 3, 'condition_prior': condition_prior}
  model, params, log_p = linear_model(model_key, **options)
  x = jax.random.normal(x_key, (COUNT, DATA_DIM))
  y = jnp.arange(COUNT, dtype=jnp.int32) % 3
  codes = np.eye(3)[np.asarray(y)]
  if kind == 'num_covariates':
    y = jax.random.normal(y_key, (COUNT, 3))
    codes = np.asarray(y)
  exact = np.array([log_p(*pair) for pair in zip(x, codes, strict=True)])
  # With the exact q every weight is p(x|y): one sample, and no noise.
  data = {'x': x, 'y': y}
  nll = vj.estimate_nll(nll_key, model, params, data, num_samples=1)
  np.testing.assert_allclose(-nll.per_example, exact, rtol=2e-4)
  for index in range(COUNT):
    inference = model.condition(params, {'x': x[index], 'y': y[index]})
    terms = vj.elbo(
      jax.random.clone(elbo_key),
      inference.posterior,
      inference.prior,
      inference.log_likelihood,
      form='joint',
    )
    np.testing.assert_allclose(terms.elbo, exact[index], rtol=2e-4)


@pytest.mark.slow
def test_a_learned_prior_starts_at_the_prior():
  for prior in ('normal', 'bernoulli'):
    options = {'data_shape': (4,), 'num_classes': 2, 'prior': prior}
    if prior == 'bernoulli':
      options['posterior'] = prior
    plain = make_vae(**options)
    learned = make_vae(**options, condition_prior=True)
    params = learned.init(jax.random.key(0))
    z = jnp.ones(10)
    expected = plain.prior(params, jnp.int32(1)).log_prob(z)
    found = learned.prior(params, jnp.int32(1)).log_prob(z)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_y_is_read_by_the_encoder_and_the_decoder(key):
  model = make_vae(data_shape=(2, 2, 1), num_classes=3, hidden_sizes=(4,))
  params = random_like(key, model.init(jax.random.key(0)))
  x, z = jnp.ones((2, 2, 1)), jnp.ones(10)
  q = [model.encode(params, x, jnp.int32(i)).mean() for i in range(3)]
  p = [model.decode(params, z, jnp.int32(i)).mean() for i in range(3)]
  for one in (q, p):
    assert len({x.tobytes() for x in map(np.asarray, one)}) == 3


@pytest.mark.parametrize('y', [-1, 3])
def test_a_class_outside_gives_nan(y):
  assert np.isnan(one_hot(jnp.int32(y), 3)).all()


def test_codes_refuse_another_kind_of_y():
  with pytest.raises(TypeError, match='expected the integer of a class'):
    one_hot(jnp.float32(1), 3)
  with pytest.raises(TypeError, match='expected the integer of a class'):
    one_hot(jnp.arange(3), 3)
  covariates = make_code(0, 2)
  for y in (jnp.arange(2), jnp.ones(3)):
    with pytest.raises(TypeError, match='expected 2 real numbers'):
      covariates.of(y)
  assert make_code(0, 0) is None
  with pytest.raises(ValueError, match='one of them must be 0'):
    make_code(2, 2)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'condition_prior': True}, 'condition_prior with prior'),
    ({'classifier': True}, 'expected two classes'),
    ({'classifier': True, 'num_covariates': 2}, 'expected two classes'),
    ({'classifier': True, 'num_classes': 2, 'missing': True}, 'no missing'),
  ],
)
def test_impossible_models_are_refused(options, message):
  with pytest.raises(ValueError, match=message):
    make_vae(data_shape=(4,), **options)


def test_networks_of_images_take_y_as_constant_channels():
  x, code = jnp.ones((2, 3, 1)), jnp.array([5.0, 7.0])
  found = joined.CHANNELS.join(x, code)
  assert found.shape == joined.CHANNELS.shape((2, 3, 1), 2) == (2, 3, 3)
  np.testing.assert_array_equal(found[1, 2], [1, 5, 7])
  row = NETWORKS['mlp']
  assert joined.FLAT.shape((2, 3, 1), 2) == row.join.join(x, code).shape


@pytest.mark.quick('mask')
@pytest.mark.parametrize('kind', ['y', 'mask', 'class'])
def test_the_encoder_sees_the_logs_of_counts_beside_y_and_mask(key, kind):
  of_counts, of_reals = (
    make_vae(
      data_shape=(4,),
      hidden_sizes=(3,),
      latent_dim=2,
      likelihood=likelihood,
      num_classes=0 if kind == 'mask' else 3,
      missing=kind == 'mask',
      classifier=kind == 'class',
    )
    for likelihood in ('poisson', 'normal')
  )
  params = random_like(key, of_reals.init(jax.random.key(0)))
  x, y = jnp.array([0.0, 2.0, 7.0, 1.0]), jnp.int32(1)
  mask = jnp.array([True, True, False, True])

  def q(model, x):
    if kind == 'class':
      return model.classify(params, x).log_probabilities
    beside = {'mask': mask} if kind == 'mask' else {'y': y}
    return model.condition(params, {'x': x, **beside}).posterior.mean()

  found = q(of_counts, x)
  np.testing.assert_allclose(found, q(of_reals, jnp.log1p(x)), rtol=1e-6)
  assert not np.allclose(found, q(of_reals, x))


def test_labels_of_z_are_decoded_one_hot_beside_y(key):
  model = make_vae(
    data_shape=(2,),
    hidden_sizes=(),
    latent_dim=3,
    num_categories=4,
    posterior='categorical',
    prior='categorical',
    num_classes=2,
  )
  params = random_like(key, model.init(jax.random.key(0)))
  output = params['decoder']['output']
  for z, y in (([0, 3, 1], 0), ([2, 2, 0], 1)):
    code = np.concatenate([np.eye(4)[z].ravel(), np.eye(2)[y]])
    found = model.decode(params, jnp.array(z), jnp.int32(y)).logits
    expected = code @ output['kernel'] + output['bias']
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize('network', ['conv', 'resnet', 'gated_mlp'])
def test_every_network_reads_y_and_the_mask(key, network):
  model = make_vae(
    data_shape=(4, 4, 1),
    network=network,
    hidden_sizes=(4,),
    channels=(2, 3),
    num_classes=3,
    missing=True,
  )
  params = random_like(key, model.init(jax.random.key(0)))
  x = jnp.linspace(0, 1, 16).reshape(4, 4, 1)

  def see(y, mask):
    example = {'x': x, 'y': jnp.int32(y), 'mask': mask}
    found = model.condition(params, example)
    image = found.likelihood(jnp.ones(10)).mean()
    return np.asarray(found.posterior.mean()), np.asarray(image)

  whole = jnp.ones(x.shape, bool)
  q, p = see(0, whole)
  other_q, other_p = see(1, whole)
  assert not np.allclose(q, other_q)
  assert not np.allclose(p, other_p)
  # The first pixel is 0: only the mask tells that it is not observed.
  assert not np.allclose(q, see(0, whole.at[0, 0].set(False))[0])


@pytest.mark.parametrize('beside', [{'num_classes': 2}, {'missing': True}])
@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'likelihood': 'poisson', 'size_factor': 'total'}, "size_factor='total'"),
    ({'latent_dims': (3, 2)}, r'latent_dims=\(3, 2\)'),
    ({'prior': 'vamp'}, "prior='vamp'"),
    ({'network': 'conv'}, r'data_shape=\(4, 4\) with'),
  ],
)
def test_models_of_x_alone_are_refused(beside, options, message):
  with pytest.raises(ValueError, match=message):
    make_vae(data_shape=(4, 4), **options, **beside)
