import jax
import numpy as np
import pytest
from PIL import Image

import vae_jax as vj
from vae_jax import figures

IMAGES = np.random.RandomState(0).randint(0, 256, (20, 6, 6, 1), np.uint8)
RECORDS = [
  {'step': 5 * epoch, 'epoch': epoch, 'split': split, 'elbo': -9.0 / epoch}
  for epoch in (1, 2, 3)
  for split in ('train', 'validation')
]


@pytest.mark.parametrize('latent_dim', [2, 3])
def test_every_figure_that_the_model_admits_is_drawn(tmp_path, latent_dim):
  config = vj.Config(latent_dim=latent_dim, hidden_sizes=(8,))
  vae = vj.make_vae(config, (6, 6, 1))
  params = vae.init(jax.random.key(0))
  binary = (IMAGES > 99).astype(np.uint8)
  paths = figures.draw_all(tmp_path, vae, params, IMAGES, binary, RECORDS)
  names = {path.stem for path in paths}
  plane = {'latent_manifold'} if latent_dim == 2 else set()
  assert names == {'learning_curve', 'reconstructions', 'prior_samples'} | plane
  for path in paths:
    with Image.open(path) as image:
      assert min(image.size) > 200


def test_vectors_have_a_learning_curve_and_no_pictures(tmp_path):
  config = vj.Config(latent_dim=2, hidden_sizes=(), likelihood='normal')
  vae = vj.make_vae(config, (6,))
  x = np.zeros((20, 6), np.float32)
  params = vae.init(jax.random.key(0))
  paths = figures.draw_all(tmp_path, vae, params, x, x, RECORDS)
  assert [path.name for path in paths] == ['learning_curve.png']
  assert [path.name for path in tmp_path.iterdir()] == ['learning_curve.png']


@pytest.mark.parametrize(
  ('dtype', 'names'),
  [
    (np.uint8, ['original', 'binarised', 'reconstruction']),
    (np.float32, ['original', 'reconstruction']),
  ],
)
def test_only_zeros_and_ones_are_shown_binarised(
  dtype, names, tmp_path, monkeypatch
):
  seen = []
  draw = lambda path, title, rows: seen.append(rows)
  monkeypatch.setattr(figures.plots, 'image_rows', draw)
  monkeypatch.setattr(figures.plots, 'image_grid', lambda *args, **kw: None)
  likelihood = 'bernoulli' if dtype == np.uint8 else 'normal'
  config = vj.Config(latent_dim=3, hidden_sizes=(8,), likelihood=likelihood)
  # A mean far outside what can be shown.
  vae = vj.make_vae(config, (6, 6, 1), data_mean=np.full((6, 6, 1), 2.0))
  x = (IMAGES > 99).astype(dtype)
  params = vae.init(jax.random.key(0))
  figures.draw_all(tmp_path, vae, params, IMAGES, x, RECORDS)
  assert list(seen[0]) == names
  assert seen[0]['reconstruction'].max() <= 1


def test_manifold_is_decoded_at_the_priors_quantiles(tmp_path, monkeypatch):
  seen = []
  monkeypatch.setattr(
    figures.plots, 'image_grid', lambda *a, **k: seen.append(a)
  )
  figures._latent_manifold(tmp_path, lambda z: z)
  z = seen[0][2].reshape(16, 16, 2)
  u = np.asarray(jax.scipy.stats.norm.cdf(z))
  steps = (np.arange(16) + 0.5) / 16
  np.testing.assert_allclose(u[0, :, 0], steps, atol=1e-5)
  np.testing.assert_allclose(u[:, 0, 1], steps[::-1], atol=1e-5)
