import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from vae_jax.models.make import make_vae
from vae_jax.runs.config import ModelOptions

SHAPE = (4, 4, 1)
OPTIONS = {'latent_dim': 3, 'hidden_sizes': (8, 6)}


def make(shape=SHAPE, **options):
  return make_vae(data_shape=shape, **(OPTIONS | options))


def shapes(vae):
  """The parameters by shape and dtype, without computing them."""
  return jax.eval_shape(vae.init, jax.random.key(0))


def test_encoder_returns_q_and_decoder_returns_p(key):
  vae = make()

  def both():
    params = vae.init(key)
    q = vae.encode(params, jnp.ones(SHAPE))
    p = vae.decode(params, q.mean())
    return q, p, vae.prior(params)

  q, p, prior = jax.eval_shape(both)
  assert isinstance(q, vj.Normal)
  assert q.shape == prior.shape == (3,)
  assert isinstance(p, vj.Bernoulli)
  assert p.shape == SHAPE


def test_prior_is_the_standard_normal():
  prior = make().prior({})
  np.testing.assert_array_equal(prior.loc, np.zeros(3))
  np.testing.assert_array_equal(prior.log_scale, np.zeros(3))


def test_decoder_mirrors_the_hidden_sizes():
  params = shapes(make())
  hidden = params['decoder']['_Hidden_0']
  assert hidden['Dense_0']['kernel'].shape == (3, 6)
  assert hidden['Dense_1']['kernel'].shape == (6, 8)


def test_decoder_starts_at_the_mean_pixel(key):
  mean = np.linspace(0, 1, 16).reshape(SHAPE)
  vae = make(data_mean=mean)
  found = jax.jit(lambda key: vae.decode(vae.init(key), jnp.zeros(3)).mean())
  np.testing.assert_allclose(found(key), np.clip(mean, 0.001, 0.999), rtol=1e-4)


@pytest.mark.parametrize('likelihood', ['bernoulli', 'normal'])
def test_no_hidden_layers_make_linear_maps(likelihood, key):
  vae = make((5,), hidden_sizes=(), likelihood=likelihood)
  params = jax.jit(vae.init)(key)
  decoder = set(params['decoder']) - {'log_scale'}
  assert (decoder, set(params['encoder'])) == ({'output'}, {'loc', 'log_scale'})
  x = jnp.array([1.0, -2.0, 0.5, 0.0, 3.0])
  layer = params['encoder']['loc']
  np.testing.assert_allclose(
    vae.encode(params, x).loc, x @ layer['kernel'] + layer['bias'], rtol=1e-5
  )


def test_sigma_is_one_parameter_of_the_decoder(key):
  vae = make(
    hidden_sizes=(8,), likelihood='normal', data_mean=np.full(SHAPE, 0.3)
  )
  params = jax.jit(vae.init)(key)
  assert params['decoder']['log_scale'].shape == ()
  x = jax.random.uniform(jax.random.key(1), SHAPE)

  def log_prob(params):
    p = vae.decode(params, jnp.zeros(3))
    assert isinstance(p, vj.Normal)
    return p.log_prob(x), p.mean()

  grads, mean = jax.jit(jax.grad(log_prob, has_aux=True))(params)
  np.testing.assert_allclose(mean, np.full(SHAPE, 0.3), rtol=1e-5)
  # d log p / d log sigma = |x - mean|^2 / sigma^2 - D
  np.testing.assert_allclose(
    grads['decoder']['log_scale'], np.sum((x - 0.3) ** 2) - 16, rtol=1e-4
  )


def test_sigma_is_the_option_of_normal_fixed():
  vae = make((5,), hidden_sizes=(), likelihood='normal_fixed', sigma=0.25)
  params = jax.tree.map(lambda x: jnp.zeros(x.shape), shapes(vae))
  p = vae.decode(params, jnp.zeros(3))
  np.testing.assert_allclose(p.variance(), np.full(5, 0.0625), rtol=1e-5)


def test_encoder_and_decoder_start_from_different_keys(key):
  vae = make(latent_dim=16, hidden_sizes=(16,))
  params = jax.jit(vae.init)(key)
  first = lambda part: params[part]['_Hidden_0']['Dense_0']['kernel']
  assert first('encoder').shape == first('decoder').shape
  assert not np.allclose(first('encoder'), first('decoder'))


def test_vmap_of_the_encoder_equals_a_loop(key):
  vae = make()
  params_key, x_key = jax.random.split(key)
  params = jax.jit(vae.init)(params_key)
  x = jax.random.uniform(x_key, (5, *SHAPE))
  batched = jax.jit(jax.vmap(vae.encode, (None, 0)))(params, x)
  encode = jax.jit(vae.encode)
  for i in range(5):
    np.testing.assert_allclose(
      batched.loc[i], encode(params, x[i]).loc, atol=1e-5
    )


def program(vae):
  """Traces init, encode, decode and prior.

  Returns the program, the types that it returns, and its constants.
  """

  def run(key):
    params = vae.init(key)
    q = vae.encode(params, jnp.ones(SHAPE))
    p = vae.condition(params, jnp.ones(SHAPE)).likelihood(jnp.ones(3))
    return params, q, p, vae.prior(params)

  closed, out = jax.make_jaxpr(run, return_shape=True)(jax.random.key(0))
  text = f'{closed.jaxpr} {jax.tree.structure(out)}'
  return text, [np.asarray(x) for x in closed.consts]


def assert_same_model(found, expected):
  (a, a_constants), (b, b_constants) = program(found), program(expected)
  assert a == b
  for x, y in zip(a_constants, b_constants, strict=True):
    np.testing.assert_array_equal(x, y)


@pytest.mark.quick('mlp')
@pytest.mark.parametrize(
  'options',
  [
    {
      'latent_dim': 3,
      'network': 'mlp',
      'hidden_sizes': (8, 6),
      'activation': 'relu',
      'posterior': 'laplace',
      'prior': 'logistic',
      'likelihood': 'normal_fixed',
      'sigma': 0.5,
    },
    {
      'latent_dim': 3,
      'network': 'resnet',
      'channels': (3, 2),
      'num_blocks': 2,
      'activation': 'relu',
      'likelihood': 'discretised_logistic_mixture',
      'num_mixtures': 2,
    },
    {
      'latent_dim': 3,
      'network': 'gated_mlp',
      'likelihood': 'poisson',
      'size_factor': 'total',
    },
  ],
  ids=lambda options: options['network'],
)
def test_model_part_of_a_config_equals_keywords(options):
  """Together they name every field, with other values than the defaults."""
  mean = np.linspace(0, 1, 16).reshape(SHAPE)
  expected = make_vae(data_shape=SHAPE, data_mean=mean, **options)
  part = ModelOptions(**options)
  assert_same_model(make_vae(part, SHAPE, data_mean=mean), expected)
  whole = types.SimpleNamespace(model=part)
  assert_same_model(make_vae(whole, SHAPE, data_mean=mean), expected)
  # Each option changes the program or its constants.
  for name in set(options) - {'latent_dim'}:
    if (name, options[name]) == ('network', 'mlp'):
      continue
    fewer = {each: options[each] for each in options if each != name}
    other = make_vae(data_shape=SHAPE, data_mean=mean, **fewer)
    with pytest.raises(AssertionError):
      assert_same_model(other, expected)
  if options['network'] == 'mlp':
    # Other likelihoods differ in the values of nested constants only.
    with pytest.raises(AssertionError):
      assert_same_model(make_vae(part, SHAPE), expected)


def test_defaults_of_the_keywords_are_those_of_the_config():
  keywords = make_vae.__kwdefaults__
  part = vars(ModelOptions())
  assert part == {name: keywords[name] for name in part}


@pytest.mark.parametrize(
  'name', ['network', 'activation', 'posterior', 'prior', 'likelihood']
)
def test_unknown_names_are_refused_with_the_choices(name):
  with pytest.raises(ValueError, match=f"{name} is 'nope'") as error:
    make(**{name: 'nope'})
  assert {'mlp', 'relu', 'normal'} & set(str(error.value).split("'"))


def test_missing_data_shape_is_refused():
  with pytest.raises(TypeError, match='data_shape is missing'):
    make_vae(ModelOptions())


def test_object_without_options_is_refused():
  with pytest.raises(TypeError, match='got int, expected a part of a Config'):
    make_vae(3, SHAPE)
