import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import vae_jax as vj
from vae_jax import plots
from vae_jax.distributions.base import distribution
from vae_jax.evaluate import Estimate, Latents
from vae_jax.runs.report.figures import image_figures, image_model
from vae_jax.runs.report.figures.drawn import Skipped

N, Z = 40, 4
IMAGES = np.random.RandomState(0).randint(0, 256, (N, 2, 2, 1), np.uint8)
PREPROCESSED = IMAGES / np.float32(255)
ZEROS = jnp.zeros(Z)
NORMAL = vj.Normal(ZEROS, ZEROS)
# The first unit is not the one of the largest KL.
KL = np.array([0.1, 3.0, 0.2, 1.0])
ORDER = [1, 3, 2, 0]
NONE = Estimate(0.0, 0.0)
LATENTS = Latents(
  {f'z[{j}]': 1 for j in range(Z)},
  *(Estimate(KL, KL), KL, KL, np.zeros((N, Z)), NONE, NONE),
)


def model(prior=NORMAL, preprocessed=PREPROCESSED):
  """Returns a model whose z are the four pixels: an image shows its z."""
  return image_figures.Model(
    encode=lambda x: jnp.asarray(x, jnp.float32).reshape(-1, Z),
    decode=lambda z, y=None: np.asarray(z).reshape(-1, 2, 2, 1),
    sample=lambda keys, x: np.zeros((len(keys), Z)),
    posterior=NORMAL,
    prior=prior,
    likelihood=NORMAL,
    images=IMAGES,
    preprocessed=preprocessed,
  )


@pytest.mark.parametrize(
  ('dtype', 'names'),
  [
    (np.uint8, ['original', 'binarised', 'reconstruction']),
    (np.float32, ['original', 'reconstruction']),
  ],
)
def test_binarised_images_are_shown_for_binary_likelihoods_only(
  dtype, names, seen
):
  preprocessed = (IMAGES > 99).astype(dtype)
  image_figures.reconstructions(model(preprocessed=preprocessed))
  _, rows, options = seen[0]
  assert options['rows'] == names
  np.testing.assert_allclose(rows[0], IMAGES[:16] / 255)
  np.testing.assert_allclose(rows[-1], preprocessed[:16])


def test_decoded_means_are_clipped_to_zero_and_one():
  vae = vj.VAE(
    init=lambda key: {},
    encode=lambda params, x: vj.Normal(x.ravel() + params, jnp.zeros(Z)),
    decode=lambda params, z: vj.Normal(z.reshape(2, 2, 1) - params, 0.0),
    prior=lambda params: NORMAL,
  )
  made = image_figures.make_model(vae, 0.5, IMAGES, PREPROCESSED)
  z = made.encode(made.preprocessed[:5])
  np.testing.assert_allclose(z, PREPROCESSED[:5].reshape(5, Z) + 0.5, rtol=1e-6)
  assert isinstance(made.posterior, vj.Normal)
  assert isinstance(made.likelihood, vj.Normal)
  np.testing.assert_array_equal(made.prior.mean(), NORMAL.mean())
  z = jnp.asarray([[0.0, 0.5, 1.0, 3.0]])
  shown = made.decode(z)
  np.testing.assert_array_equal(shown.ravel(), [0, 0, 0.5, 1])


BITS = (np.random.RandomState(1).uniform(size=(N, Z)) < 0.5).astype(np.float32)


def binary_model(seen_z):
  """A model of binary z whose q(z|x) has probabilities far from 0 and 1."""

  def decode(params, z):
    jax.debug.callback(lambda z: seen_z.append(np.asarray(z)), z)
    return vj.Bernoulli(z.reshape(2, 2, 1))

  vae = vj.VAE(
    init=lambda key: {},
    encode=lambda params, x: vj.Bernoulli(4 * x.ravel() - 2),
    decode=decode,
    prior=lambda params: vj.Bernoulli(ZEROS),
  )
  return image_figures.make_model(vae, {}, IMAGES, PREPROCESSED, 'validation')


@pytest.mark.slow
def test_discrete_latents_are_decoded_at_values_that_they_take(seen):
  found = []
  made = binary_model(found)
  drawn = list(image_figures.draw(made, LATENTS))
  assert [each.name for each in drawn] == [
    *('reconstructions', 'prior_samples', 'interpolations', 'traversals'),
  ]
  jax.effects_barrier()
  z = np.stack(found)
  # Every figure decodes as many z at once, by one program.
  assert z.shape == (4 * 256, Z)
  assert set(np.unique(z)) == {0, 1}
  z = np.asarray(made.encode(PREPROCESSED))
  p = vj.Bernoulli(4 * PREPROCESSED.reshape(N, Z) - 2).mean()
  # Hoeffding: within 0.3 of the mean of 160 draws but for one run in 10^12.
  assert abs(np.mean(z - p)) < 0.3
  assert np.any(z != np.round(p))
  titles = [call[0] for call in seen]
  assert 'z ~ q(z|x)' in titles[0]
  assert titles[0].startswith('Validation images')
  assert not any('E q(z|x)' in title for title in titles)


def test_interpolations_of_binary_latents_switch_the_units_that_differ(seen):
  of_bits = model(vj.Bernoulli(ZEROS))._replace(
    posterior=vj.Bernoulli(ZEROS),
    encode=lambda x: (
      BITS[: len(x)] if np.all(x[0] == PREPROCESSED[0]) else BITS[-len(x) :]
    ),
  )
  image_figures.interpolations(of_bits)
  _, rows, _ = seen[0]
  for i, row in enumerate(rows):
    x, y = BITS[i], BITS[N - 8 + i]
    z = row[1:-1].reshape(11, Z)
    np.testing.assert_array_equal(z[[0, -1]], [x, y])
    assert set(np.unique(z)) <= {0, 1}
    distance = np.sum(z != y, axis=1)
    assert np.all(np.diff(distance) <= 0)
    assert np.all((z == x) | (z == y))


def test_large_images_are_decoded_in_parts(monkeypatch):
  sizes = []
  monkeypatch.setattr(image_model, '_NUMBERS', 40)
  thumbnails = plots.thumbnails
  monkeypatch.setattr(
    plots, 'thumbnails', lambda x: sizes.append(len(x)) or thumbnails(x)
  )
  vae = vj.VAE(
    init=lambda key: {},
    encode=lambda params, x: vj.Normal(x.ravel(), jnp.zeros(Z)),
    decode=lambda params, z: vj.Normal(z.reshape(2, 2, 1), 0.0),
    prior=lambda params: NORMAL,
  )
  made = image_figures.make_model(vae, {}, IMAGES, PREPROCESSED)
  z = PREPROCESSED[:25].reshape(25, Z)
  np.testing.assert_array_equal(made.decode(z), PREPROCESSED[:25])
  # One shape for all parts: the last is filled up.
  assert sizes == [10, 10, 10]


def test_prior_samples_have_the_distribution_of_the_prior(seen):
  image_figures.prior_samples(model(vj.Laplace(ZEROS, ZEROS)))
  z = seen[0][1].reshape(-1)
  assert stats.kstest(z, stats.laplace.cdf).pvalue > 1e-4


def test_interpolations_are_linear_between_the_two_images(seen):
  image_figures.interpolations(model())
  _, rows, options = seen[0]
  assert len(options['columns']) == rows.shape[1]
  originals = IMAGES / 255
  ends = np.linspace(0, N - 1, 16).astype(int)
  for i, row in enumerate(rows):
    first, last = originals[ends[i]], originals[ends[8 + i]]
    # The image, then its reconstruction, which is exact for this decoder.
    np.testing.assert_allclose(row[:2], [first, first], atol=1e-6)
    np.testing.assert_allclose(row[-2:], [last, last], atol=1e-6)
    quarter = 0.7 * first + 0.3 * last
    np.testing.assert_allclose(row[4], quarter, atol=1e-6)


def test_images_with_a_mask_are_drawn_like_others(seen):
  mask = np.random.RandomState(0).uniform(size=IMAGES.shape) < 0.5
  examples = {'x': np.where(mask, PREPROCESSED, 0), 'mask': mask}
  masked = model(preprocessed=examples)
  masked = masked._replace(
    encode=lambda x: jnp.asarray(x['x'], jnp.float32).reshape(-1, Z)
  )
  drawn = list(image_figures.draw(masked, LATENTS))
  # A figure that fails is skipped with its name.
  assert not any(isinstance(each, Skipped) for each in drawn)
  assert [each.name for each in drawn] == [
    *('reconstructions', 'prior_samples', 'interpolations', 'traversals'),
  ]
  _, rows, options = seen[0]
  assert options['rows'] == ['original', 'observed', 'reconstruction']
  np.testing.assert_allclose(rows[1], examples['x'][:16], atol=1e-6)
  np.testing.assert_allclose(rows[2], examples['x'][:16], atol=1e-6)


@pytest.mark.quick('normal', 'beta', 'logistic')
@pytest.mark.parametrize(
  ('prior', 'exact'),
  [
    (NORMAL, stats.norm()),
    (vj.Normal(ZEROS + 2, ZEROS + jnp.log(3)), stats.norm(2, 3)),
    (vj.Laplace(ZEROS, ZEROS), stats.laplace()),
    (vj.Logistic(ZEROS, ZEROS), stats.logistic()),
    (vj.Gamma(ZEROS + 0.7, ZEROS + jnp.log(2)), stats.gamma(0.7, scale=0.5)),
    (vj.Beta(ZEROS + 0.6, ZEROS + 2), stats.beta(0.6, 2)),
  ],
  ids=['normal', 'wide', 'laplace', 'logistic', 'gamma', 'beta'],
)
def test_traversals_move_one_unit_through_the_quantiles_of_the_prior(
  prior, exact, seen
):
  drawn = list(image_figures.draw(model(prior), LATENTS))
  assert drawn[-1].name == 'traversals'
  _, images, options = seen[-1]
  z = images.reshape(Z, -1, Z)
  levels = [float(name[:-1]) / 100 for name in options['columns']]
  assert levels[0] == 0.01
  assert levels[-1] == 0.99
  for row, unit in enumerate(ORDER):
    assert options['rows'][row] == f'z[{unit}]\nKL {KL[unit]:.2f}'
    np.testing.assert_allclose(
      exact.cdf(z[row, :, unit]), levels, rtol=1e-4, atol=1e-6
    )
    others = np.delete(z[row], unit, axis=1)
    fixed = np.delete(IMAGES[0].ravel() / 255, unit)
    np.testing.assert_allclose(others, np.tile(fixed, (13, 1)), atol=1e-6)


def test_binary_traversals_set_one_unit_to_zero_and_one(seen):
  drawn = list(image_figures.draw(model(vj.Bernoulli(ZEROS)), LATENTS))
  assert drawn[-1].name == 'traversals'
  _, images, options = seen[-1]
  assert list(options['rows']) == ['z[j] = 0', 'z[j] = 1']
  z = images.reshape(2, Z, Z)
  for column, unit in enumerate(ORDER):
    assert options['columns'][column].startswith(f'z[{unit}]')
    np.testing.assert_array_equal(z[:, column, unit], [0, 1])
    others = np.delete(z[:, column], unit, axis=1)
    fixed = np.delete(IMAGES[0].ravel() / 255, unit)
    np.testing.assert_allclose(others, np.tile(fixed, (2, 1)), atol=1e-6)


LABELS = vj.Categorical(jnp.zeros((Z, 3)))


def test_traversals_of_labels_take_each_value(seen):
  drawn = list(image_figures.draw(model(LABELS), LATENTS))
  assert drawn[-1].name == 'traversals'
  _, images, options = seen[-1]
  assert list(options['rows']) == [f'z[j] = {label}' for label in range(3)]
  z = images.reshape(3, Z, Z)
  for column, unit in enumerate(ORDER):
    np.testing.assert_array_equal(z[:, column, unit], range(3))


def test_interpolations_of_labels_switch_the_units_that_differ(seen):
  labels = np.random.RandomState(0).randint(0, 3, (N, Z)).astype(np.int32)
  of_labels = model(LABELS)._replace(
    posterior=LABELS,
    encode=lambda x: (
      labels[:8] if np.all(x[0] == PREPROCESSED[0]) else labels[-8:]
    ),
  )
  image_figures.interpolations(of_labels)
  z = seen[0][1][:, 1:-1].reshape(8, 11, Z)
  np.testing.assert_array_equal(z[:, 0], labels[:8])
  np.testing.assert_array_equal(z[:, -1], labels[-8:])
  # Half of the units that differ are switched half of the way.
  switched = np.sum((z[:, 5] != z[:, 0]), axis=1)
  differ = np.sum(labels[:8] != labels[-8:], axis=1)
  np.testing.assert_array_equal(switched, differ // 2)


def test_traversals_show_the_ten_units_of_the_largest_kl(seen):
  blank = lambda z: np.zeros((len(z), 2, 2, 1))
  thirty = jnp.zeros(30)
  wide = model(vj.Normal(thirty, thirty))._replace(
    encode=lambda x: jnp.zeros((len(x), 30)), decode=blank
  )
  latents = LATENTS._replace(kl=Estimate(np.arange(30.0), np.ones(30)))
  image_figures.traversals(wide, latents)
  assert [name.split('\n')[0] for name in seen[0][2]['rows']] == [
    f'z[{j}]' for j in range(29, 19, -1)
  ]


@pytest.mark.parametrize(
  ('family', 'exact'),
  [(vj.Normal, stats.norm), (vj.Logistic, stats.logistic)],
)
def test_manifold_is_decoded_at_the_priors_quantiles(family, exact, seen):
  plane = model(family(jnp.zeros(2), jnp.zeros(2)))._replace(decode=np.asarray)
  image_figures.latent_manifold(plane)
  u = exact.cdf(seen[0][1].reshape(16, 16, 2))
  steps = (np.arange(16) + 0.5) / 16
  np.testing.assert_allclose(u[0, :, 0], steps, atol=1e-5)
  np.testing.assert_allclose(u[:, 0, 1], steps[::-1], atol=1e-5)


@distribution
class NoMean(vj.Normal):
  """A distribution without closed-form moments."""

  @property
  def has_moments(self):
    return False

  def mean(self):
    raise TypeError('no closed form')


NO_MEAN = NoMean(ZEROS, ZEROS)
OF_MEANS = {'reconstructions', 'interpolations', 'traversals'}


@pytest.mark.parametrize(
  ('change', 'skipped', 'reason'),
  [
    (
      {'likelihood': NO_MEAN},
      OF_MEANS | {'prior_samples'},
      'p(x|z), NoMean, has no closed-form mean',
    ),
    (
      {'prior': vj.Gumbel(ZEROS, ZEROS)},
      {'traversals'},
      'p(z), Gumbel, has no quantile function',
    ),
    (
      {
        'prior': vj.Normal(jnp.zeros((2, 2)), 0.0),
        'encode': lambda x: jnp.asarray(x, jnp.float32).reshape(-1, 2, 2),
      },
      {'interpolations', 'traversals'},
      'z is not a vector',
    ),
  ],
  ids=['likelihood', 'quantile', 'vector'],
)
def test_figures_that_the_model_does_not_admit_are_skipped(
  change, skipped, reason, seen
):
  drawn = list(image_figures.draw(model()._replace(**change), LATENTS))
  reasons = {x.name: x.reason for x in drawn if isinstance(x, Skipped)}
  assert reasons == dict.fromkeys(skipped, reason)
  figures = {x.name for x in drawn} - skipped
  assert figures == (OF_MEANS | {'prior_samples'}) - skipped


def test_z_of_an_image_is_drawn_where_q_has_no_mean(seen):
  """As for a flow: the titles state it."""
  assert model()._replace(posterior=NO_MEAN).draws_z
  drawn = image_figures.draw(model()._replace(posterior=NO_MEAN), LATENTS)
  assert {each.name for each in drawn} == OF_MEANS | {'prior_samples'}
  assert not any('E q(z|x)' in call[0] for call in seen)
  assert sum('q(z|x)' in call[0] for call in seen) == 3


def test_units_are_not_traversed_if_the_kl_has_no_terms_for_them(seen):
  total = Estimate(np.ones(1), np.ones(1))
  drawn = image_figures.draw(model(), LATENTS._replace(kl=total))
  (skipped,) = [each for each in drawn if isinstance(each, Skipped)]
  assert skipped.name == 'traversals'
  assert 'does not decompose' in skipped.reason


def test_the_families_of_a_model_are_found_without_computing_means():
  """A family without a mean must not stop the other figures."""
  vae = vj.VAE(
    init=lambda key: {},
    encode=lambda params, x: NoMean(x.ravel(), jnp.zeros(Z)),
    decode=lambda params, z: NoMean(z.reshape(2, 2, 1), 0.0),
    prior=lambda params: NORMAL,
  )
  made = image_figures.make_model(vae, {}, IMAGES, PREPROCESSED)
  assert not made.posterior.has_moments
  assert not made.likelihood.has_moments
  drawn = image_figures.draw(made, None)
  assert {type(each) for each in drawn} == {Skipped}


def test_traversals_are_skipped_without_statistics_of_the_latents(seen):
  drawn = list(image_figures.draw(model(), None))
  reasons = {x.name: x.reason for x in drawn if isinstance(x, Skipped)}
  assert reasons == {'traversals': 'the latents have no statistics'}
