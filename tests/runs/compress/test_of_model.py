"""Codecs of models, and the models that are refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import vae_jax as vj
from vae_jax.errors import UserError
from vae_jax.runs.compress import bits_back, buckets, of_model

SHAPE = (2, 3, 1)


def model_of(**options):
  sizes = {'latent_dim': 2, 'hidden_sizes': (4,)}
  model = vj.make_vae(data_shape=SHAPE, **(sizes | options))
  return model, model.init(jax.random.key(0))


@pytest.mark.parametrize(
  'likelihood',
  [
    'bernoulli',
    pytest.param('discretised_logistic', marks=pytest.mark.slow),
    pytest.param('categorical', marks=pytest.mark.slow),
  ],
)
def test_round_trip_of_a_model_is_exact_and_has_its_length(likelihood):
  pytest.importorskip('constriction')
  model, params = model_of(likelihood=likelihood)
  of_model.check_codable(model, params, jnp.zeros(SHAPE))
  codec = of_model.make_codec(model, params, SHAPE, latent_bits=12)
  top = 1 if likelihood == 'bernoulli' else 255
  draws = np.random.default_rng(0).integers(top + 1, size=(30, *SHAPE))
  x = draws.astype(np.uint8) if top == 1 else np.float32(draws / 255)
  symbols = of_model.to_symbols(x, top == 1)
  coded = bits_back.encode(codec, symbols)
  found = bits_back.decode(codec, coded.words, coded.num_initial, len(x))
  np.testing.assert_array_equal(found, draws.reshape(30, -1))
  z = buckets.centres(12)[coded.buckets]
  x = jnp.asarray(x, float)
  q = jax.vmap(model.encode, (None, 0))(params, x)
  log_p = jax.vmap(lambda z, x: model.decode(params, z).log_prob(x))(z, x)
  ends = [stats.norm.ppf((coded.buckets + end) / 4096) for end in (0, 1)]
  below, above = (
    stats.norm.cdf(end, q.loc, np.exp(q.log_scale)) for end in ends
  )
  length = np.log(4096 * (above - below)).sum() - log_p.sum()
  least = most = length
  if top > 1:  # Frequencies are at least 2^-24 and rounded by as much.
    tables = np.stack([codec.likelihood(bucket) for bucket in coded.buckets])
    p = np.take_along_axis(tables, symbols[..., None], axis=-1).astype(float)
    least = length - np.log1p(2.0**-23 / p).sum()
    most = length + np.log(p / np.maximum(p - 2.0**-24, 2.0**-24)).sum()
  # The sizes of the stack are rounded to bits.
  assert least - 1 < coded.bits.sum() * np.log(2) < most + 1
  log_weights = (
    log_p
    + stats.norm.logpdf(z).sum(1)
    - jax.vmap(lambda q, z: q.log_prob(z))(q, z)
  )
  found = of_model.coded_log_weights(model, params, SHAPE, symbols, z)
  np.testing.assert_allclose(found, log_weights, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
  ('options', 'words'),
  [
    ({'prior': 'laplace', 'posterior': 'laplace'}, r'got p\(z\) of the family'),
    ({'likelihood': 'normal'}, r'got p\(x\|z\) of the family'),
    *(
      pytest.param({name: value}, words, marks=pytest.mark.slow)
      for name, value, words in (
        ('prior', 'mixture', r'got p\(z\) of the family'),
        ('latent_dims', (2, 2), r'got p\(z\) of the family'),
        ('posterior', 'full_normal', r'got q\(z\|x\) of the family'),
        ('likelihood', 'poisson', r'got p\(x\|z\) of the family'),
      )
    ),
  ],
)
def test_other_models_are_refused(options, words):
  model, params = model_of(**options)
  with pytest.raises(UserError, match=words) as error:
    of_model.check_codable(model, params, jnp.zeros(SHAPE))
  assert '\n' not in str(error.value)


def test_a_shifted_prior_is_refused():
  model, params = model_of()
  model = model._replace(prior=lambda _: vj.Normal(jnp.ones(2), 0.0))
  with pytest.raises(UserError, match=r'expected N\(0, I\)'):
    of_model.check_codable(model, params, jnp.zeros(SHAPE))


def test_a_condition_is_refused():
  model, params = model_of()
  with pytest.raises(UserError, match='condition or mask'):
    of_model.check_codable(model, params, {'x': jnp.zeros(SHAPE)})


def test_digests_differ_with_the_parameters():
  pytest.importorskip('constriction')
  model, params = model_of()
  other = jax.tree.map(lambda leaf: leaf + 1e-3, params)
  assert of_model.digest_of_params(params) != of_model.digest_of_params(other)
  digests = [
    of_model.digest_of_tables(
      of_model.make_codec(model, each, SHAPE, latent_bits=8), SHAPE
    )
    for each in (params, params, other)
  ]
  assert digests[0] == digests[1] != digests[2]
