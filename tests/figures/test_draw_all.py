import dataclasses

import jax
import numpy as np
import pytest
from PIL import Image

import vae_jax as vj
from vae_jax import figures
from vae_jax.evaluate import Latents

IMAGES = np.random.RandomState(0).randint(0, 256, (20, 6, 6, 1), np.uint8)
BINARY = (IMAGES > 99).astype(np.uint8)
LABELS = np.arange(20) % 10
NLL = {1: (9.0, 0.1), 10: (8.0, 0.1)}
RECORDS = [
  {'step': 5 * epoch, 'epoch': epoch, 'split': split, 'elbo': -9.0 / epoch}
  for epoch in (1, 2, 3)
  for split in ('train', 'validation')
]
BINARY_LATENTS = {
  'posterior': 'bernoulli',
  'prior': 'bernoulli',
  'estimator': 'score_function',
}
NUMBERS = {'learning_curve', 'nll_curve', 'kl_per_dimension'}
PICTURES = {
  *('reconstructions', 'prior_samples', 'interpolations', 'traversals'),
}


def draw(folder, config, images, prepared, labels, nll):
  vae = vj.make_vae(config, images.shape[1:])
  params = vae.init(jax.random.key(0))
  each = np.linspace(0, 1, config.latent_dim)
  means = np.random.RandomState(0).normal(size=(20, config.latent_dim))
  none = 0.0, 0.0
  found = Latents(each, each, each, each, means, none, none)
  measured = figures.Measured(found, labels, nll)
  return figures.draw_all(
    folder, vae, params, images, prepared, RECORDS, measured
  )


@pytest.mark.parametrize(
  ('options', 'plane'),
  [
    ({'latent_dim': 2}, True),
    ({'latent_dim': 3}, False),
    ({'latent_dim': 2} | BINARY_LATENTS, False),
  ],
  ids=['2', '3', 'bernoulli'],
)
def test_every_figure_that_the_model_admits_is_drawn(tmp_path, options, plane):
  config = dataclasses.replace(vj.Config(hidden_sizes=(8,)), **options)
  drawn = draw(tmp_path, config, IMAGES, BINARY, LABELS, NLL)
  names = {path.stem for path in drawn}
  more = {'posterior_means'} | ({'latent_manifold'} if plane else set())
  assert names == NUMBERS | PICTURES | more
  for path, caption in drawn.items():
    assert caption.endswith('.')
    with Image.open(path) as image:
      assert min(image.size) > 200


def test_vectors_have_no_pictures(tmp_path):
  config = vj.Config(latent_dim=2, hidden_sizes=(), likelihood='normal')
  x = np.zeros((20, 6), np.float32)
  drawn = draw(tmp_path, config, x, x, None, NLL)
  assert {path.stem for path in drawn} == NUMBERS
  assert set(drawn) == set(tmp_path.iterdir())


def test_one_k_is_no_curve(tmp_path):
  config = vj.Config(latent_dim=2, hidden_sizes=(), likelihood='normal')
  x = np.zeros((20, 6), np.float32)
  drawn = draw(tmp_path, config, x, x, None, {1: (9.0, 0.1)})
  assert {path.stem for path in drawn} == NUMBERS - {'nll_curve'}
