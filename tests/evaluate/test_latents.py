import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import vae_jax as vj
from tests import helpers
from vae_jax import evaluate
from vae_jax.evaluate.latents import marginals

# Two units carry x, the third is the prior and the decoder does not read it.
WEIGHTS = jnp.array([[2.0, 0.0, 0.0], [0.0, 0.5, 0.0]])
SCALE = np.log(0.5)


def make(prior=lambda: vj.Normal(jnp.zeros(3), jnp.zeros(3)), family=vj.Normal):
  def encode(params, x):
    del params
    loc = jnp.array([0.8 * x[0], 0.3 * x[1], 0.0])
    return family(loc, jnp.array([SCALE, -0.2, 0.0]))

  return vj.VAE(
    init=lambda key: {},
    encode=encode,
    decode=lambda params, z: vj.Normal(WEIGHTS @ z, jnp.zeros(2)),
    prior=lambda params: prior(),
  )


DATA = np.random.RandomState(0).normal(size=(400, 2)).astype(np.float32)


@pytest.fixture(scope='module')
def measured():
  return evaluate.measure_latents(jax.random.key(0), make(), {}, DATA)


def test_each_dimension_has_its_divergence(measured):
  loc = np.stack([0.8 * DATA[:, 0], 0.3 * DATA[:, 1], 0 * DATA[:, 0]], axis=1)
  log_scale = np.array([SCALE, -0.2, 0.0])
  exact = 0.5 * (np.exp(2 * log_scale) + loc**2 - 1) - log_scale
  np.testing.assert_allclose(measured.kl, exact.mean(axis=0), atol=1e-5)
  error = exact.std(axis=0, ddof=1) / np.sqrt(400)
  np.testing.assert_allclose(measured.kl_standard_error, error, atol=1e-5)
  np.testing.assert_allclose(measured.mean_variance, loc.var(axis=0), atol=1e-5)
  np.testing.assert_allclose(measured.scale, np.exp(log_scale), rtol=1e-5)
  np.testing.assert_allclose(measured.means, loc, atol=1e-6)


def test_a_unit_is_active_where_its_mean_varies(measured):
  assert measured.active.tolist() == [True, True, False]


def test_a_scale_is_the_mean_deviation():
  encode = lambda params, x: vj.Normal(jnp.zeros(3), x[:1] * jnp.ones(3))
  vae = make()._replace(encode=encode)
  found = evaluate.measure_latents(jax.random.key(0), vae, {}, DATA)
  mean = np.mean(np.exp(DATA[:, 0]))
  np.testing.assert_allclose(found.scale, np.full(3, mean), rtol=1e-5)


def test_one_example_tells_nothing():
  found = evaluate.measure_latents(jax.random.key(0), make(), {}, DATA[:1])
  assert found.mutual_information[0] == 0
  assert np.isnan(found.mutual_information[1])
  assert np.all(found.kl_standard_error == 0)


def test_the_two_parts_make_the_divergence(measured):
  information, error = measured.mutual_information
  marginal, other = measured.marginal_kl
  # Both are sampled from the same draws; their errors add at most.
  assert abs(information + marginal - measured.kl.sum()) < 6 * (error + other)
  assert 0 < information < np.log(400)


def test_the_parts_are_those_of_the_mixture_of_posteriors():
  """Against scipy, with the very draws: two examples, by hand."""
  data = DATA[:2]
  found = evaluate.measure_latents(jax.random.key(3), make(), {}, data)
  pair_key = jax.random.split(jax.random.key(3))[1]
  vae = make()
  qs = [vae.encode({}, jnp.asarray(x)) for x in data]
  keys = jax.random.split(pair_key, 2)
  z = [np.asarray(vj.sample(k, q)) for k, q in zip(keys, qs, strict=True)]
  density = lambda z, q: np.prod(
    stats.norm.pdf(z, np.asarray(q.loc), np.exp(np.asarray(q.log_scale)))
  )
  mixture = [0.5 * (density(x, qs[0]) + density(x, qs[1])) for x in z]
  information = np.mean(
    [np.log(density(z[i], qs[i]) / mixture[i]) for i in range(2)]
  )
  marginal = np.mean(
    [np.log(mixture[i] / np.prod(stats.norm.pdf(z[i]))) for i in range(2)]
  )
  np.testing.assert_allclose(
    found.mutual_information[0], information, rtol=1e-4
  )
  np.testing.assert_allclose(found.marginal_kl[0], marginal, rtol=1e-4)


def test_a_pair_without_closed_form_is_sampled():
  prior = lambda: vj.Logistic(jnp.zeros(3), jnp.zeros(3))
  data = np.repeat(DATA, 10, axis=0)
  found = evaluate.measure_latents(jax.random.key(1), make(prior), {}, data)
  exact = []
  for j, log_scale in enumerate([SCALE, -0.2, 0.0]):
    factor = (0.8, 0.3, 0.0)[j]
    # The divergence of each example by quadrature.
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    loc = factor * DATA[:, min(j, 1)][:, None]
    z = loc + np.exp(log_scale) * nodes
    log_ratio = stats.norm.logpdf(z, loc, np.exp(log_scale))
    log_ratio -= stats.logistic.logpdf(z)
    exact.append(np.mean(log_ratio @ weights / np.sqrt(2 * np.pi)))
  z = np.abs(found.kl - exact) / found.kl_standard_error
  assert np.all(z < helpers.SIGMAS)


def test_dependent_coordinates_are_taken_one_by_one():
  c = jnp.array([[1.0, 0.0], [0.6, 0.8]])
  q = marginals(vj.MultivariateNormal(jnp.array([0.1, 0.2]), 2 * c))
  np.testing.assert_allclose(q.loc, [0.1, 0.2])
  np.testing.assert_allclose(np.exp(q.log_scale), [2.0, 2.0], rtol=1e-6)


def test_taking_out_a_unit_that_is_not_read_changes_nothing(measured, key):
  whole, parts = (
    make(),
    evaluate.without_units(
      make(), measured.active, measured.means.mean(axis=0)
    ),
  )
  x = jnp.asarray(DATA[0])
  assert parts.encode({}, x).shape == parts.prior({}).shape == (2,)
  np.testing.assert_allclose(
    parts.decode({}, jnp.array([0.3, -1.0])).loc,
    whole.decode({}, jnp.array([0.3, -1.0, 7.0])).loc,
  )
  with jax.debug_key_reuse(False):
    many, few = (
      vj.estimate_nll(key, vae, {}, DATA, num_samples=2000).per_example
      for vae in (whole, parts)
    )
  helpers.assert_mean(many - few, 0.0)


def test_a_held_unit_stands_at_its_mean():
  keep = np.array([True, False, False])
  parts = evaluate.without_units(make(), keep, np.array([9.0, 4.0, 9.0]))
  np.testing.assert_allclose(parts.decode({}, jnp.array([1.0])).loc, [2.0, 2.0])


def test_dependent_units_are_not_taken_out():
  family = lambda loc, log_scale: vj.MultivariateNormal(loc, jnp.eye(3))
  vae = evaluate.without_units(
    make(family=family), np.array([True, True, False]), np.zeros(3)
  )
  with pytest.raises(TypeError, match='dependent units'):
    vae.encode({}, jnp.zeros(2))


def test_most_units_dead_is_said_in_words(measured):
  assert evaluate.warning(measured) == ''
  half = measured._replace(mean_variance=np.array([0.5, 0.001]))
  assert evaluate.warning(half) == ''
  dead = measured._replace(mean_variance=np.array([0.5, 0.001, 0.002]))
  assert '2 of 3 latent units carry nothing' in evaluate.warning(dead)


def test_no_data_is_refused():
  with pytest.raises(ValueError, match='no example'):
    evaluate.measure_latents(jax.random.key(0), make(), {}, DATA[:0])
