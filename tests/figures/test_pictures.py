import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import vae_jax as vj
from vae_jax import plots
from vae_jax.evaluate import Latents
from vae_jax.figures import pictures

N, Z = 40, 4
IMAGES = np.random.RandomState(0).randint(0, 256, (N, 2, 2, 1), np.uint8)
PREPARED = IMAGES / np.float32(255)
ZEROS = jnp.zeros(Z)
NORMAL = vj.Normal(ZEROS, ZEROS)
# The unit of the largest KL is not the first.
KL = np.array([0.1, 3.0, 0.2, 1.0])
ORDER = [1, 3, 2, 0]
LATENTS = Latents(KL, KL, KL, KL, np.zeros((N, Z)), (0.0, 0.0), (0.0, 0.0))


def model(prior=NORMAL, prepared=PREPARED):
  """Whose z are the four pixels, so that a picture shows its z."""
  return pictures.Model(
    encode=lambda x: jnp.asarray(x, jnp.float32).reshape(-1, Z),
    decode=lambda z: np.asarray(z).reshape(-1, 2, 2, 1),
    prior=prior,
    images=IMAGES,
    prepared=prepared,
  )


@pytest.fixture
def seen(monkeypatch):
  """The arguments of the figures."""
  calls = []
  for name in ('image_grid', 'image_rows'):
    monkeypatch.setattr(
      plots, name, lambda path, *a, **k: calls.append((*a, k)) or path
    )
  return calls


@pytest.mark.parametrize(
  ('dtype', 'names'),
  [
    (np.uint8, ['original', 'binarised', 'reconstruction']),
    (np.float32, ['original', 'reconstruction']),
  ],
)
def test_only_zeros_and_ones_are_shown_binarised(dtype, names, tmp_path, seen):
  prepared = (IMAGES > 99).astype(dtype)
  pictures.reconstructions(tmp_path, model(prepared=prepared))
  _, rows, options = seen[0]
  assert options['rows'] == names
  np.testing.assert_allclose(rows[0], IMAGES[:16] / 255)
  np.testing.assert_allclose(rows[-1], prepared[:16])


def test_means_outside_black_and_white_are_clipped():
  config = vj.Config(latent_dim=3, hidden_sizes=(), likelihood='normal')
  # A mean far outside what can be shown.
  vae = vj.make_vae(config, (2, 2, 1), data_mean=np.full((2, 2, 1), 2.0))
  params = vae.init(jax.random.key(0))
  made = pictures.make_model(vae, params, IMAGES, PREPARED)
  z = made.encode(made.prepared[:5])
  assert z.shape == (5, 3)
  shown = made.decode(z)
  assert shown.shape == (5, 2, 2, 1)
  assert shown.max() == 1


def test_prior_samples_have_the_law_of_the_prior(tmp_path, seen):
  pictures.prior_samples(tmp_path, model(vj.Laplace(ZEROS, ZEROS)))
  z = seen[0][1].reshape(-1)
  assert stats.kstest(z, stats.laplace.cdf).pvalue > 1e-4


def test_interpolations_go_from_the_left_image_to_the_right(tmp_path, seen):
  pictures.interpolations(tmp_path, model())
  _, rows, options = seen[0]
  assert len(options['columns']) == rows.shape[1]
  originals = IMAGES / 255
  ends = np.linspace(0, N - 1, 16).astype(int)
  for i, row in enumerate(rows):
    first, last = originals[ends[i]], originals[ends[8 + i]]
    # The image and, as this decoder has no loss, the end of the line.
    np.testing.assert_allclose(row[:2], [first, first], atol=1e-6)
    np.testing.assert_allclose(row[-2:], [last, last], atol=1e-6)
    quarter = 0.7 * first + 0.3 * last
    np.testing.assert_allclose(row[4], quarter, atol=1e-6)


@pytest.mark.parametrize(
  ('prior', 'law'),
  [
    (NORMAL, stats.norm()),
    (vj.Normal(ZEROS + 2, ZEROS + jnp.log(3)), stats.norm(2, 3)),
    (vj.Laplace(ZEROS, ZEROS), stats.laplace()),
    (vj.Logistic(ZEROS, ZEROS), stats.logistic()),
  ],
  ids=['normal', 'wide', 'laplace', 'logistic'],
)
def test_one_unit_at_a_time_is_swept_through_the_quantiles(
  prior, law, tmp_path, seen
):
  drawn = pictures.draw(tmp_path, model(prior), LATENTS)
  assert 'traversals' in {path.stem for path, _ in drawn}
  _, images, options = seen[-1]
  z = images.reshape(Z, -1, Z)
  levels = [float(name[:-1]) / 100 for name in options['columns']]
  assert levels[0] == 0.01
  assert levels[-1] == 0.99
  for row, unit in enumerate(ORDER):
    assert options['rows'][row] == f'z[{unit}]\nKL {KL[unit]:.2f}'
    np.testing.assert_allclose(
      law.cdf(z[row, :, unit]), levels, rtol=1e-4, atol=1e-6
    )
    others = np.delete(z[row], unit, axis=1)
    held = np.delete(IMAGES[0].ravel() / 255, unit)
    np.testing.assert_allclose(others, np.tile(held, (13, 1)), atol=1e-6)


def test_binary_units_are_switched(tmp_path, seen):
  pictures.draw(tmp_path, model(vj.Bernoulli(ZEROS)), LATENTS)
  _, images, options = seen[-1]
  assert options['rows'] == ('z[j] = 0', 'z[j] = 1')
  z = images.reshape(2, Z, Z)
  for column, unit in enumerate(ORDER):
    assert options['columns'][column].startswith(f'z[{unit}]')
    np.testing.assert_array_equal(z[:, column, unit], [0, 1])
    others = np.delete(z[:, column], unit, axis=1)
    held = np.delete(IMAGES[0].ravel() / 255, unit)
    np.testing.assert_allclose(others, np.tile(held, (2, 1)), atol=1e-6)


def test_at_most_ten_units_are_swept(tmp_path, seen):
  config = vj.Config(latent_dim=30, hidden_sizes=())
  vae = vj.make_vae(config, (2, 2, 1))
  made = pictures.make_model(
    vae, vae.init(jax.random.key(0)), IMAGES, (IMAGES > 99).astype(np.uint8)
  )
  found = LATENTS._replace(kl=np.arange(30.0))
  pictures.traversals(tmp_path, made, found, jax.scipy.special.ndtri)
  assert [name.split('\n')[0] for name in seen[0][2]['rows']] == [
    f'z[{j}]' for j in range(29, 19, -1)
  ]


@pytest.mark.parametrize(
  ('family', 'law'),
  [(vj.Normal, stats.norm), (vj.Logistic, stats.logistic)],
)
def test_manifold_is_decoded_at_the_priors_quantiles(
  family, law, tmp_path, seen
):
  plane = model(family(jnp.zeros(2), jnp.zeros(2)))._replace(decode=np.asarray)
  quantile = pictures._QUANTILES[family]
  pictures.latent_manifold(tmp_path, plane, quantile)
  u = law.cdf(seen[0][1].reshape(16, 16, 2))
  steps = (np.arange(16) + 0.5) / 16
  np.testing.assert_allclose(u[0, :, 0], steps, atol=1e-5)
  np.testing.assert_allclose(u[:, 0, 1], steps[::-1], atol=1e-5)
