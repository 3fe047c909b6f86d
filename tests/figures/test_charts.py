import numpy as np
import pytest

from vae_jax import plots
from vae_jax.evaluate import Latents
from vae_jax.figures import charts


def latents(kl, mean_variance):
  kl = np.asarray(kl, np.float64)
  return Latents(
    kl=kl,
    kl_standard_error=kl / 10,
    mean_variance=np.asarray(mean_variance, np.float64),
    scale=np.ones(len(kl)),
    means=np.zeros((5, len(kl))),
    mutual_information=(0.0, 0.0),
    marginal_kl=(0.0, 0.0),
  )


@pytest.fixture
def seen(monkeypatch):
  """The arguments of the last figure."""
  calls = []
  for name in ('bars', 'error_bars', 'learning_curve', 'scatter'):
    monkeypatch.setattr(
      plots, name, lambda path, *a, **k: calls.append(a) or path
    )
  return calls


def test_learning_curve_names_what_is_climbed(tmp_path, seen):
  records = [
    {'split': 'train', 'epoch': 1, 'elbo': -3.0, 'iw_elbo': -2.0},
    {'split': 'validation', 'epoch': 1, 'elbo': -4.0},
    {'split': 'test', 'epoch': 1, 'elbo': -5.0},
  ]
  charts.learning_curve(tmp_path, records)
  assert seen[0][1] == {
    'train, ELBO': ([1], [-3.0]),
    'train, IW-ELBO': ([1], [-2.0]),
    'validation, ELBO': ([1], [-4.0]),
  }


def test_nll_is_drawn_at_every_k(tmp_path, seen):
  nll = {1: (3.0, 0.2), 10: (2.0, 0.1)}
  path, _ = charts.nll_curve(tmp_path, nll)
  assert path == tmp_path / 'nll_curve.png'
  _, labels, points = seen[0]
  assert points == nll
  assert 'nats' in labels[1]


def test_bars_fall_and_dead_units_stand_apart(tmp_path, seen):
  found = latents([0.5, 2.0, 0.1, 1.0], [0.2, 0.9, 0.001, 0.0099])
  charts.kl_bars(tmp_path, found)
  title, labels, groups, names = seen[0]
  assert '2 of 4 active' in title
  assert 'nats' in labels[1]
  assert names == ['1', '3', '0', '2']
  active, dead = groups['active'], groups['dead']
  np.testing.assert_array_equal(active.places, [0, 2])
  np.testing.assert_allclose(active.heights, [2.0, 0.5])
  np.testing.assert_allclose(active.errors, [0.2, 0.05])
  np.testing.assert_array_equal(dead.places, [1, 3])
  np.testing.assert_allclose(dead.heights, [1.0, 0.1])


def test_a_colour_without_bars_has_no_name(tmp_path, seen):
  charts.kl_bars(tmp_path, latents([1.0, 2.0], [1.0, 1.0]))
  assert list(seen[0][2]) == ['active']


def test_two_units_are_drawn_as_they_are(tmp_path, seen):
  means, labels = np.arange(10.0).reshape(5, 2), np.array([1, 0, 1, 2, 2])
  charts.posterior_means(tmp_path, means, labels)
  _, names, points, classes = seen[0]
  assert names == ('E[z[0]|x]', 'E[z[1]|x]')
  np.testing.assert_array_equal(points, means)
  np.testing.assert_array_equal(classes, labels)


def test_one_unit_is_drawn_against_its_label(tmp_path, seen):
  means, labels = np.array([[0.5], [1.5], [2.5]]), np.array([7, 3, 7])
  charts.posterior_means(tmp_path, means, labels)
  np.testing.assert_array_equal(seen[0][2], [[0.5, 1], [1.5, 0], [2.5, 1]])


def test_more_units_are_projected_on_the_widest_plane(tmp_path, seen):
  random = np.random.RandomState(0)
  basis, _ = np.linalg.qr(random.normal(size=(6, 6)))
  # In which the spread of each direction is known.
  scores, _ = np.linalg.qr(random.normal(size=(500, 6)))
  scores -= scores.mean(axis=0)
  scores *= [4.0, 1.0, 0.1, 5.0, 0.2, 0.3]
  charts.posterior_means(tmp_path, 3 + scores @ basis, np.zeros(500, int))
  title, names, points, _ = seen[0]
  assert '6 units' in title
  for i, j in ((0, 3), (1, 0)):
    r = np.corrcoef(points[:, i], scores[:, j])[0, 1]
    assert abs(r) > 0.99
  shares = np.array([25, 16]) / (16 + 1 + 0.01 + 25 + 0.04 + 0.09)
  for name, share in zip(names, shares, strict=True):
    percent = float(name.split('(')[1].split('%')[0])
    # Scores of this many examples are not quite orthogonal.
    assert abs(percent - 100 * share) < 3
