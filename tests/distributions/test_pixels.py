import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

import vae_jax as vj

LEVELS = np.arange(256)
X = jnp.arange(256.0) / 255

LOC = [-5.0, -0.1, 0.0, 0.3, 0.5, 0.999, 1.0, 1.2, 5.0]
LOG_SCALE = [-30.0, -9.0, -7.0, -5.0, -3.0, -1.0, 0.0, 3.0, 10.0, 30.0]
GRID = tuple(np.float32(x) for x in np.meshgrid(LOC, LOG_SCALE))


def logistic(loc, log_scale):
  """Returns the 256 probabilities in float64, each from its nearer tail."""
  scale = np.exp(np.float64(log_scale))
  ends = (np.arange(255) + 0.5) / 255
  cdf = special.expit((ends - loc) / scale)
  sf = special.expit((loc - ends) / scale)
  below, above = (
    np.diff(cdf, prepend=0, append=1),
    np.diff(-sf, prepend=-1, append=0),
  )
  return np.where(loc > LEVELS / 255, below, above)


def by_log_prob(p):
  """Returns log_prob at each of the 256 levels, of a scalar pixel."""
  return np.asarray(jax.vmap(p.log_prob)(X), np.float64)


def test_discretised_logistic_sums_to_one_at_any_parameters():
  p = vj.DiscretisedLogistic(*GRID)
  mass = np.exp(np.asarray(p.log_probabilities, np.float64)).sum(-1)
  np.testing.assert_allclose(mass, 1.0, rtol=1e-6)


@pytest.mark.parametrize('loc', [-0.1, 0.004, 0.3, 1.2])
@pytest.mark.parametrize('log_scale', [-7.0, -4.0, -2.0, 1.0])
def test_discretised_logistic_is_scipys_difference_of_cdfs(loc, log_scale):
  loc = np.float32(loc)
  exact = logistic(np.float64(loc), log_scale)
  value = by_log_prob(vj.DiscretisedLogistic(loc, log_scale))
  # Below, the float64 reference itself has no digits left.
  there = exact > 1e-300
  assert there.sum() > 20
  np.testing.assert_allclose(
    value[there], np.log(exact[there]), rtol=2e-5, atol=2e-5
  )
  np.testing.assert_allclose(np.exp(value).sum(), 1.0, rtol=1e-6)


def test_the_ends_absorb_the_tails():
  p = vj.DiscretisedLogistic(0.25, -1.5)
  law = stats.logistic(0.25, np.exp(-1.5))
  value = by_log_prob(p)
  np.testing.assert_allclose(value[0], law.logcdf(0.5 / 255), rtol=1e-5)
  np.testing.assert_allclose(value[255], law.logsf(254.5 / 255), rtol=1e-5)
  bin_5 = law.cdf(5.5 / 255) - law.cdf(4.5 / 255)
  np.testing.assert_allclose(value[5], np.log(bin_5), rtol=1e-5)


@pytest.mark.parametrize('level', [0.0, 1.0, 100.0, 255.0])
def test_discretised_logistic_has_finite_values_and_slopes_everywhere(level):
  log_prob = lambda *q: vj.DiscretisedLogistic(*q).log_prob(level / 255)
  values, slopes = jax.vmap(jax.value_and_grad(log_prob, (0, 1)))(
    *map(np.ravel, GRID)
  )
  assert np.isfinite(values).all()
  assert all(np.isfinite(slope).all() for slope in slopes)


@pytest.mark.parametrize('level', [0, 3, 100, 255])
def test_gradients_are_finite_differences(level):
  with jax.enable_x64(True):
    value = lambda loc, log_scale: vj.DiscretisedLogistic(
      loc, log_scale
    ).log_prob(jnp.float64(level / 255))
    for point in [(0.4, -3.0), (-0.1, -5.0), (1.1, 0.5), (0.01, -7.0)]:
      slopes = jax.grad(value, (0, 1))(*point)
      for i, slope in enumerate(slopes):
        step = np.eye(2)[i] * 1e-6
        up, down = value(*(point + step)), value(*(point - step))
        np.testing.assert_allclose(
          slope, (up - down) / 2e-6, rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize(
  ('loc', 'log_scale'), [(0.3, -3.0), (-0.2, -1.0), (1.0, -5.0)]
)
def test_draws_are_counted_by_the_probabilities(loc, log_scale, key):
  p = vj.DiscretisedLogistic(loc, log_scale)
  check_counts(p, logistic(np.float32(loc), log_scale), key)


def test_draws_of_the_categorical_are_counted_too(key):
  logits = np.sin(np.arange(256.0)) * 2
  check_counts(vj.CategoricalPixels(logits), special.softmax(logits), key)


def check_counts(p, exact, key, count=200_000):
  """Compares the counts of draws by Pearson's chi-square.

  Levels of few expected draws are pooled, so that the law of the statistic
  holds. A correct library fails once in 1e9 tests.
  """
  draws = np.asarray(jax.vmap(p.sample)(jax.random.split(key, count)))
  level = np.rint(draws * 255).astype(int)
  np.testing.assert_allclose(draws, level / 255, atol=1e-6)
  # Neighbours share a cell of 100 expected draws or more.
  cell = np.unique(np.cumsum(exact) * count // 100, return_inverse=True)[1]
  expected = np.bincount(cell, exact) * count
  counts = np.bincount(cell, np.bincount(level, minlength=256))
  there = expected > 20
  assert expected[~there].sum() < 40
  distance = (counts - expected)[there] ** 2 / expected[there]
  assert there.sum() > 10
  assert stats.chi2(there.sum()).sf(distance.sum()) > 1e-9


@pytest.mark.parametrize(
  'make',
  [
    lambda: vj.DiscretisedLogistic(0.3, -3.0),
    lambda: vj.DiscretisedLogistic(-0.2, -2.0),
    lambda: vj.CategoricalPixels(3 * np.cos(np.arange(256.0))),
  ],
)
def test_entropy_mean_and_variance_are_sums_over_the_levels(make):
  p = make()
  mass, x = np.exp(by_log_prob(p)), LEVELS / 255
  mean = np.sum(mass * x)
  np.testing.assert_allclose(p.mean(), mean, rtol=1e-5)
  variance = np.sum(mass * (x - mean) ** 2)
  np.testing.assert_allclose(p.variance(), variance, rtol=1e-4)
  entropy = np.sum(special.entr(mass))
  np.testing.assert_allclose(p.entropy(), entropy, rtol=1e-4)


def test_entropy_of_levels_without_mass_is_no_nan():
  entropy = lambda logits: vj.CategoricalPixels(logits).entropy()
  logits = jnp.full(256, -jnp.inf).at[:2].set(0.0)
  value, slope = jax.value_and_grad(entropy)(logits)
  np.testing.assert_allclose(value, np.log(2), rtol=1e-6)
  np.testing.assert_allclose(slope, np.zeros(256), atol=1e-6)


def test_categorical_is_the_softmax():
  logits = 3 * np.cos(np.arange(256.0))
  value = by_log_prob(vj.CategoricalPixels(logits))
  np.testing.assert_allclose(value, special.log_softmax(logits), rtol=1e-5)
  np.testing.assert_allclose(np.exp(value).sum(), 1.0, rtol=1e-5)


FAMILIES = {
  'logistic': lambda shape: vj.DiscretisedLogistic(jnp.zeros(shape), -2.0),
  'categorical': lambda shape: vj.CategoricalPixels(jnp.zeros((*shape, 256))),
}
every_family = pytest.mark.parametrize('make', FAMILIES.values(), ids=FAMILIES)


@every_family
def test_only_the_256_levels_have_mass(make):
  p = make((3,))
  inside = jnp.array([0.0, 7 / 255, 1.0])
  assert np.isfinite(p.log_prob(inside))
  for x in [0.5, -1 / 255, 256 / 255, 3.0]:
    outside = inside.at[1].set(x)
    value, slopes = jax.value_and_grad(lambda p, x=outside: p.log_prob(x))(p)
    assert np.isneginf(value)
    assert not any(np.isnan(s).any() for s in jax.tree.leaves(slopes))


@every_family
@pytest.mark.parametrize('shape', [(), (2, 3, 1)])
def test_an_event_may_have_any_shape(make, shape):
  p = make(shape)
  assert p.shape == shape
  assert jax.eval_shape(p.sample, jax.random.key(0)).shape == shape
  assert p.mean().shape == p.variance().shape == shape
  x = jnp.full(shape, 7 / 255)
  assert p.log_prob(x).shape == p.entropy().shape == ()
  one = make(()).log_prob(jnp.float32(7 / 255))
  np.testing.assert_allclose(p.log_prob(x), one * np.prod(shape), rtol=1e-5)
  with pytest.raises(ValueError, match='x has shape'):
    p.log_prob(jnp.zeros((5,)))


def test_categorical_of_another_number_of_levels_is_refused():
  with pytest.raises(ValueError, match='256 levels'):
    vj.CategoricalPixels(jnp.zeros((4, 255)))
