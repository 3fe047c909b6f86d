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
  """Returns the 256 probabilities in float64, from the nearer tail."""
  scale = np.exp(np.float64(log_scale))
  ends = (np.arange(255) + 0.5) / 255
  cdf = special.expit((ends - loc) / scale)
  sf = special.expit((loc - ends) / scale)
  below, above = (
    np.diff(cdf, prepend=0, append=1),
    np.diff(-sf, prepend=-1, append=0),
  )
  return np.where(loc > LEVELS / 255, below, above)


@jax.jit
def _program(p):
  """Returns log_prob at each of the 256 levels and the closed forms of p."""
  return jax.vmap(p.log_prob)(X), p.entropy(), p.mean(), p.variance()


def log_probs(p):
  """Returns log_prob at each of the 256 levels, of a scalar pixel."""
  return np.asarray(_program(p)[0], np.float64)


def test_discretised_logistic_sums_to_one_at_any_parameters():
  p = vj.DiscretisedLogistic(*GRID)
  log_p = jax.jit(lambda p: p.log_probabilities)(p)
  mass = np.exp(np.asarray(log_p, np.float64)).sum(-1)
  np.testing.assert_allclose(mass, 1.0, rtol=1e-6)


@pytest.mark.parametrize('loc', [-0.1, 0.004, 0.3, 1.2])
@pytest.mark.parametrize('log_scale', [-7.0, -4.0, -2.0, 1.0])
def test_discretised_logistic_matches_differences_of_the_cdf(loc, log_scale):
  loc = np.float32(loc)
  exact = logistic(np.float64(loc), log_scale)
  value = log_probs(
    vj.DiscretisedLogistic(jnp.float32(loc), jnp.float32(log_scale))
  )
  # Below, the float64 reference itself has no digits left.
  precise = exact > 1e-300
  assert precise.sum() > 20
  np.testing.assert_allclose(
    value[precise], np.log(exact[precise]), rtol=2e-5, atol=2e-5
  )
  np.testing.assert_allclose(np.exp(value).sum(), 1.0, rtol=1e-6)


def test_first_and_last_bin_absorb_the_tails():
  p = vj.DiscretisedLogistic(0.25, -1.5)
  exact = stats.logistic(0.25, np.exp(-1.5))
  value = log_probs(p)
  np.testing.assert_allclose(value[0], exact.logcdf(0.5 / 255), rtol=1e-5)
  np.testing.assert_allclose(value[255], exact.logsf(254.5 / 255), rtol=1e-5)
  bin_5 = exact.cdf(5.5 / 255) - exact.cdf(4.5 / 255)
  np.testing.assert_allclose(value[5], np.log(bin_5), rtol=1e-5)


@jax.jit
def values_and_slopes(level, loc, log_scale):
  """Returns log_prob and its gradient over the parameters, for each level."""
  log_prob = lambda loc, log_scale, x: vj.DiscretisedLogistic(
    loc, log_scale
  ).log_prob(x)
  each = jax.vmap(jax.value_and_grad(log_prob, (0, 1)), (0, 0, None))
  return jax.vmap(each, (None, None, 0))(loc, log_scale, level / 255)


def test_values_and_gradients_are_finite_at_any_parameters():
  levels = jnp.array([0.0, 1.0, 100.0, 255.0])
  found = values_and_slopes(levels, *map(np.ravel, GRID))
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(found))


def test_gradients_match_finite_differences():
  with jax.enable_x64(True):
    levels = jnp.array([0.0, 3.0, 100.0, 255.0])
    points = np.array([(0.4, -3.0), (-0.1, -5.0), (1.1, 0.5), (0.01, -7.0)])
    moved = points + 1e-6 * np.array(
      [[[0, 0]], [[1, 0]], [[-1, 0]], [[0, 1]], [[0, -1]]]
    )
    values, slopes = values_and_slopes(levels, *moved.reshape(-1, 2).T)
    values = np.reshape(values, (4, 5, 4))
    for i, slope in enumerate(slopes):
      up, down = values[:, 1 + 2 * i], values[:, 2 + 2 * i]
      np.testing.assert_allclose(
        slope[:, :4], (up - down) / 2e-6, rtol=1e-5, atol=1e-6
      )


@pytest.mark.parametrize(
  ('loc', 'log_scale'), [(0.3, -3.0), (-0.2, -1.0), (1.0, -5.0)]
)
def test_counts_of_draws_match_the_probabilities(loc, log_scale, key):
  p = vj.DiscretisedLogistic(loc, log_scale)
  check_counts(p, logistic(np.float32(loc), log_scale), key, 200_000)


@pytest.mark.slow
def test_counts_of_categorical_draws_match_the_probabilities(key):
  logits = np.sin(np.arange(256.0)) * 2
  p = vj.CategoricalPixels(logits)
  check_counts(p, special.softmax(logits), key, 30_000)


def check_counts(p, exact, key, count):
  """Tests the counts of draws with Pearson's chi-square.

  Levels with few expected draws are pooled, as the asymptotic distribution of
  the statistic requires. A correct library fails once in 1e9 tests.
  """
  draw = jax.jit(jax.vmap(lambda key: p.sample(key)))
  draws = np.asarray(draw(jax.random.split(key, count)))
  level = np.rint(draws * 255).astype(int)
  np.testing.assert_allclose(draws, level / 255, atol=1e-6)
  # Neighbours share a cell of 100 expected draws or more.
  cell = np.unique(np.cumsum(exact) * count // 100, return_inverse=True)[1]
  expected = np.bincount(cell, exact) * count
  counts = np.bincount(cell, np.bincount(level, minlength=256))
  many = expected > 20
  assert expected[~many].sum() < 40
  distance = (counts - expected)[many] ** 2 / expected[many]
  assert many.sum() > 10
  assert stats.chi2(many.sum()).sf(distance.sum()) > 1e-9


@pytest.mark.parametrize(
  'make',
  [
    lambda: vj.DiscretisedLogistic(jnp.float32(0.3), jnp.float32(-3.0)),
    lambda: vj.DiscretisedLogistic(jnp.float32(-0.2), jnp.float32(-2.0)),
    lambda: vj.CategoricalPixels(3 * np.cos(np.arange(256.0))),
  ],
)
def test_entropy_mean_and_variance_are_sums_over_the_levels(make):
  log_p, entropy, mean, variance = _program(make())
  mass, x = np.exp(np.asarray(log_p, np.float64)), LEVELS / 255
  exact = np.sum(mass * x)
  np.testing.assert_allclose(mean, exact, rtol=1e-5)
  exact = np.sum(mass * (x - exact) ** 2)
  np.testing.assert_allclose(variance, exact, rtol=1e-4)
  np.testing.assert_allclose(entropy, np.sum(special.entr(mass)), rtol=1e-4)


def test_entropy_of_levels_without_mass_is_finite():
  entropy = lambda logits: vj.CategoricalPixels(logits).entropy()
  logits = jnp.full(256, -jnp.inf).at[:2].set(0.0)
  value, slope = jax.jit(jax.value_and_grad(entropy))(logits)
  np.testing.assert_allclose(value, np.log(2), rtol=1e-6)
  np.testing.assert_allclose(slope, np.zeros(256), atol=1e-6)


def test_categorical_pixels_match_the_softmax():
  logits = 3 * np.cos(np.arange(256.0))
  value = log_probs(vj.CategoricalPixels(logits))
  np.testing.assert_allclose(value, special.log_softmax(logits), rtol=1e-5)
  np.testing.assert_allclose(np.exp(value).sum(), 1.0, rtol=1e-5)


FAMILIES = {
  'logistic': lambda shape: vj.DiscretisedLogistic(
    jnp.zeros(shape), jnp.float32(-2.0)
  ),
  'categorical': lambda shape: vj.CategoricalPixels(jnp.zeros((*shape, 256))),
}
every_family = pytest.mark.parametrize('make', FAMILIES.values(), ids=FAMILIES)


@every_family
def test_log_prob_is_minus_infinity_off_the_256_levels(make):
  p = make((3,))
  inside = np.float32([0.0, 7 / 255, 1.0])
  x = np.tile(inside, (5, 1))
  x[1:, 1] = [0.5, -1 / 255, 256 / 255, 3.0]
  density = jax.value_and_grad(lambda p, x: p.log_prob(x))
  value, slopes = jax.jit(jax.vmap(density, (None, 0)))(p, x)
  assert np.isfinite(value[0])
  assert np.isneginf(value[1:]).all()
  assert not any(np.isnan(s).any() for s in jax.tree.leaves(slopes))


@every_family
def test_event_may_have_any_shape(make):
  x = jnp.float32(7 / 255)
  log_prob = jax.jit(lambda p, x: p.log_prob(x))
  one = log_prob(make(()), x)
  for shape in [(), (2, 3, 1)]:
    p = make(shape)
    assert p.shape == shape
    assert jax.eval_shape(p.sample, jax.random.key(0)).shape == shape
    for moment in (p.mean, p.variance):
      assert jax.eval_shape(moment).shape == shape
    assert jax.eval_shape(p.entropy).shape == ()
    value = log_prob(p, jnp.full(shape, x))
    assert value.shape == ()
    np.testing.assert_allclose(value, one * np.prod(shape), rtol=1e-5)
    with pytest.raises(ValueError, match='x has shape'):
      p.log_prob(jnp.zeros((5,)))


def test_another_number_of_levels_is_refused():
  with pytest.raises(ValueError, match='256 levels'):
    vj.CategoricalPixels(jnp.zeros((4, 255)))


@every_family
def test_uint8_pixels_are_levels(make):
  level = np.array([3, 0, 255], np.uint8)
  found = make((3,)).log_prob(level)
  exact = make((3,)).log_prob(np.float32(level) / np.float32(255))
  np.testing.assert_array_equal(found, exact)


@every_family
def test_integers_do_not_wrap(make):
  for x in (np.int8(3), np.int16(200), np.int32(-1)):
    assert make(()).log_prob(x) == -np.inf
  assert make(()).log_prob(np.int8(1)) == make(()).log_prob(np.float32(1))


# 255 / 2 is the end of the bins 127 and 128.
@pytest.mark.parametrize(
  ('loc', 'level', 'exact'),
  [(0.5, 127, -np.log(2)), (0.5, 128, -np.log(2)), (0.302, 77, 0.0)],
)
@pytest.mark.parametrize('log_scale', [-90.0, -87.0])
def test_discretised_logistic_of_a_denormal_scale(loc, level, exact, log_scale):
  value, slopes = values_and_slopes(
    jnp.float32([level]), *(jnp.float32([x]) for x in (loc, log_scale))
  )
  np.testing.assert_allclose(value, exact, rtol=1e-6)
  np.testing.assert_allclose(slopes[1], 0.0, atol=1e-6)
  assert not np.isnan(slopes[0]).any()


def test_discretised_logistic_of_a_huge_scale_is_flat():
  value, slopes = values_and_slopes(
    jnp.float32([3]), jnp.float32([0.3]), jnp.float32([90.0])
  )
  np.testing.assert_allclose(
    value, -90 - np.log(255) - 2 * np.log(2), rtol=1e-6
  )
  np.testing.assert_allclose(slopes[1], -1.0, rtol=1e-6)


@pytest.mark.parametrize(
  'p',
  [
    vj.DiscretisedLogistic(jnp.zeros(7), 0.0),
    vj.DiscretisedLogisticMixture(
      jnp.zeros((7, 2)), jnp.zeros((7, 2, 1)), jnp.zeros((7, 2, 1))
    ),
  ],
  ids=lambda p: p.name,
)
def test_moments_need_no_array_of_all_levels(p):
  """Of 45 colour images of 600 x 600 pixels it would have 50 GB."""
  for moment in (lambda p: p.mean(), lambda p: p.variance()):
    program = str(jax.make_jaxpr(moment)(p))
    assert '7' in program
    assert '256]' not in program


@pytest.mark.parametrize('log_scale', [-90.0, -20.0, 0.0, 40.0])
def test_mean_of_a_location_at_the_end_of_a_bin_is_that_of_the_masses(
  log_scale,
):
  p = vj.DiscretisedLogistic(
    jnp.array([76.5, 229.5, 0.5, 400]) / 255, log_scale
  )
  mass = np.exp(np.asarray(p.log_probabilities, np.float64))
  levels = np.arange(256) / 255
  mean = mass @ levels
  np.testing.assert_allclose(p.mean(), mean, atol=1e-6)
  variance = np.sum(mass * (levels - mean[:, None]) ** 2, axis=-1)
  np.testing.assert_allclose(p.variance(), variance, rtol=1e-4, atol=1e-9)
