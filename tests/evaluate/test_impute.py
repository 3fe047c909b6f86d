"""Missing data: p(x_missing | x_observed) of a linear-Gaussian model, exact."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import vae_jax as vj
from tests.helpers import BIAS, LOADINGS, NOISE, evidence_covariance
from vae_jax.distributions.masked import Masked
from vae_jax.models.make import make_vae
from vae_jax.models.missing import MissingVAE, observed, shape_with_mask

MASK = np.array([True, False, True, False])
X = np.array([1.0, np.nan, -0.5, np.nan], np.float32)
EXAMPLE = {'x': jnp.asarray(X), 'mask': jnp.asarray(MASK)}
SIZE, COUNT = LOADINGS.shape[1], 10_000


def make_model():
  """Returns a linear-Gaussian model with a q that is wide and off."""

  def encode(params, joined):
    assert joined.shape == shape_with_mask((4,))
    return vj.Normal(jnp.full(SIZE, 0.2) + 0 * joined[0], jnp.full(SIZE, 0.1))

  decode = lambda params, z: vj.Normal(
    LOADINGS @ z + BIAS, jnp.full(4, np.log(NOISE))
  )
  prior = lambda params: vj.Normal(jnp.zeros(SIZE), 0.0)
  return MissingVAE(vj.VAE(lambda key: {}, encode, decode, prior))


def exact():
  """Returns mean and covariance of the missing given the observed entries."""
  o, m = MASK, ~MASK
  c = evidence_covariance()
  gain = c[np.ix_(m, o)] @ np.linalg.inv(c[np.ix_(o, o)])
  mean = BIAS[m] + gain @ (X[o] - BIAS[o])
  return mean, c[np.ix_(m, m)] - gain @ c[np.ix_(o, m)]


def test_imputations_have_the_exact_conditional_distribution(key):
  """Means and covariances of 10,000 draws, within 6 standard errors."""
  found = jax.jit(
    lambda key: vj.impute(
      key, make_model(), {}, EXAMPLE, num_samples=COUNT, num_draws=COUNT
    )
  )(key)
  mean, covariance = exact()
  # Draws share the weighted z: their errors are those of fewer draws.
  count = min(COUNT, float(found.effective_sample_size)) / 2
  assert count > 500
  draws = np.asarray(found.draws)
  np.testing.assert_array_equal(draws[:, MASK], np.tile(X[MASK], (COUNT, 1)))
  missing = draws[:, ~MASK]
  error = np.sqrt(np.diag(covariance) / count)
  assert np.all(np.abs(missing.mean(axis=0) - mean) < 6 * error)
  assert np.all(np.abs(np.asarray(found.mean)[~MASK] - mean) < 6 * error)
  np.testing.assert_array_equal(found.mean[MASK], X[MASK])
  spread = np.sqrt(
    (np.outer(np.diag(covariance), np.diag(covariance)) + covariance**2) / count
  )
  assert np.all(np.abs(np.cov(missing.T) - covariance) < 6 * spread)


def test_log_p_of_the_observed_entries_is_exact(key):
  data = jax.tree.map(lambda leaf: leaf[None], EXAMPLE)
  curve = vj.estimate_nll_curve(
    key, make_model(), {}, data, num_samples=(COUNT,)
  )
  covariance = evidence_covariance()[np.ix_(MASK, MASK)]
  log_p = stats.multivariate_normal.logpdf(X[MASK], BIAS[MASK], covariance)
  error = 1 / np.sqrt(float(curve.effective_sample_size[0]))
  assert error < 0.05
  np.testing.assert_allclose(-curve.at[COUNT].mean, log_p, atol=6 * error)


@pytest.mark.quick('Normal')
@pytest.mark.parametrize(
  'p',
  [
    vj.Normal(jnp.arange(3.0), 0.5),
    vj.Bernoulli(jnp.array([0.1, -2.0, 3.0])),
    vj.CategoricalPixels(jnp.arange(3 * 256.0).reshape(3, 256) % 7),
  ],
  ids=lambda p: p.name,
)
def test_masked_density_is_the_sum_over_observed_entries(p):
  x, mask = jnp.array([1.0, 0.0, 1.0]), jnp.array([True, False, True])
  entry = lambda i: jax.tree.map(
    lambda leaf: leaf[i : i + 1] if jnp.ndim(leaf) else leaf, p
  )
  expected = sum(entry(i).log_prob(x[i : i + 1]) for i in (0, 2))
  unknown = x.at[1].set(jnp.nan)
  np.testing.assert_allclose(
    Masked(p, mask).log_prob(unknown), expected, rtol=1e-6
  )
  whole = Masked(p, jnp.ones(3, bool))
  np.testing.assert_allclose(whole.log_prob(x), p.log_prob(x), rtol=1e-6)


@pytest.mark.slow
def test_nothing_that_is_missing_reaches_the_loss_or_its_gradient(key):
  model = make_vae(data_shape=(2, 2, 1), missing=True, hidden_sizes=(3,))
  params = model.init(jax.random.key(0))
  mask = jnp.array([True, False, True, True]).reshape(1, 2, 2, 1)
  loss = vj.make_loss(model)

  def gradient(value):
    x = jnp.where(mask, 1.0, value)
    one = lambda params: loss(
      jax.random.clone(key), params, {'x': x, 'mask': mask}
    )[0]
    return jax.value_and_grad(one)(params)

  found, other = gradient(jnp.nan), gradient(0.0)
  jax.tree.map(np.testing.assert_array_equal, found, other)
  assert np.isfinite(found[0])


def test_the_encoder_sees_the_mask():
  model = make_vae(data_shape=(2,), missing=True, hidden_sizes=())
  params = model.init(jax.random.key(0))
  means = [
    model.condition(
      params, {'x': jnp.zeros(2), 'mask': jnp.array(mask)}
    ).posterior.mean()
    for mask in ([True, True], [True, False])
  ]
  assert np.abs(means[0] - means[1]).max() > 0.01
  np.testing.assert_array_equal(
    observed(jnp.array([jnp.nan, 2.0]), jnp.array([False, True])), [0, 2]
  )


def test_dependent_entries_and_examples_without_mask_are_refused(key):
  full = vj.MultivariateNormal(jnp.zeros(2), jnp.eye(2))
  with pytest.raises(TypeError, match='has dependent entries'):
    Masked(full, jnp.ones(2, bool))
  for options in ({'num_samples': 0}, {'num_draws': 0}):
    with pytest.raises(ValueError, match='at least 1'):
      vj.impute(key, make_model(), {}, EXAMPLE, **options)
  with pytest.raises(ValueError, match='nothing is missing'):
    vj.impute(key, make_model(), {}, {'x': EXAMPLE['x']})
