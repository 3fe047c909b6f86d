import numpy as np
import pytest

from vae_jax import plots
from vae_jax.evaluate import Estimate, Latents
from vae_jax.runs.report.figures import metric_figures


def latents(kl, mean_variance):
  kl = np.asarray(kl, np.float64)
  size = len(mean_variance)
  sizes = {f'z[{i}]': 1 for i in range(len(kl))}
  if len(kl) < size:
    sizes = {'z': size}
  return Latents(
    sizes,
    kl=Estimate(kl, kl / 10),
    mean_variance=np.asarray(mean_variance, np.float64),
    scale=np.ones(size),
    means=np.zeros((5, size)),
    mutual_information=Estimate(0.0, 0.0),
    marginal_kl=Estimate(0.0, 0.0),
  )


@pytest.fixture
def seen(monkeypatch):
  """Arguments of the figures, which are replaced by their names."""
  calls = []
  for name in ('bars', 'error_bars', 'learning_curve', 'scatter'):
    monkeypatch.setattr(
      plots, name, lambda *a, name=name: calls.append(a) or name
    )
  return calls


def test_learning_curve_shows_the_training_objective_by_name(seen):
  records = [
    {'split': 'train', 'epoch': 1, 'elbo': -3.0, 'iw_elbo': -2.0},
    {'split': 'validation', 'epoch': 1, 'elbo': -4.0},
    {'split': 'test', 'epoch': 1, 'elbo': -5.0},
  ]
  metric_figures.learning_curve(records)
  assert seen[0][1] == {
    'train, ELBO': ([1], [-3.0]),
    'train, IW-ELBO': ([1], [-2.0]),
    'validation, ELBO': ([1], [-4.0]),
  }


def test_nll_is_drawn_at_every_k(seen):
  nll = {1: (3.0, 0.2), 10: (2.0, 0.1)}
  drawn = metric_figures.nll_curve(nll)
  assert (drawn.name, drawn.figure) == ('nll_curve', 'error_bars')
  _, labels, points = seen[0]
  assert points == nll
  assert 'nats' in labels[1]


def test_kl_decreases_and_inactive_units_are_a_group(seen):
  found = latents([0.5, 2.0, 0.1, 1.0], [0.2, 0.9, 0.001, 0.0099])
  metric_figures.kl_bars(found)
  title, labels, groups, names = seen[0]
  assert '2 of 4 active' in title
  assert 'nats' in labels[1]
  assert names == ['1', '3', '0', '2']
  active, inactive = groups['active'], groups['inactive']
  np.testing.assert_array_equal(active.places, [0, 2])
  np.testing.assert_allclose(active.heights, [2.0, 0.5])
  np.testing.assert_allclose(active.errors, [0.2, 0.05])
  np.testing.assert_array_equal(inactive.places, [1, 3])
  np.testing.assert_allclose(inactive.heights, [1.0, 0.1])


def test_an_empty_group_is_left_out(seen):
  metric_figures.kl_bars(latents([1.0, 2.0], [1.0, 1.0]))
  assert list(seen[0][2]) == ['active']


def test_two_units_are_not_projected(seen):
  means, labels = np.arange(10.0).reshape(5, 2), np.array([1, 0, 1, 2, 2])
  metric_figures.posterior_means(means, labels)
  _, names, points, classes = seen[0]
  assert names == ('E[z[0]|x]', 'E[z[1]|x]')
  np.testing.assert_array_equal(points, means)
  np.testing.assert_array_equal(classes, labels)


def test_one_unit_is_drawn_against_its_label(seen):
  means, labels = np.array([[0.5], [1.5], [2.5]]), np.array([7, 3, 7])
  metric_figures.posterior_means(means, labels)
  np.testing.assert_array_equal(seen[0][2], [[0.5, 1], [1.5, 0], [2.5, 1]])


def test_more_units_are_projected_on_two_principal_components(seen):
  random = np.random.RandomState(0)
  basis, _ = np.linalg.qr(random.normal(size=(6, 6)))
  # The standard deviation of each direction is known.
  scores, _ = np.linalg.qr(random.normal(size=(500, 6)))
  scores -= scores.mean(axis=0)
  scores *= [4.0, 1.0, 0.1, 5.0, 0.2, 0.3]
  metric_figures.posterior_means(3 + scores @ basis, np.zeros(500, int))
  title, names, points, _ = seen[0]
  assert '6 units' in title
  for i, j in ((0, 3), (1, 0)):
    r = np.corrcoef(points[:, i], scores[:, j])[0, 1]
    assert abs(r) > 0.99
  shares = np.array([25, 16]) / (16 + 1 + 0.01 + 25 + 0.04 + 0.09)
  for name, share in zip(names, shares, strict=True):
    percent = float(name.split('(')[1].split('%')[0])
    # Subtracting the mean makes the scores slightly correlated.
    assert abs(percent - 100 * share) < 3


def test_kl_of_several_units_has_one_bar(seen):
  metric_figures.kl_bars(latents([3.0], [0.0, 0.5]))
  ((title, _, groups, names),) = seen
  assert '1 of 2 active' in title
  assert list(groups) == ['active']
  assert names == ['0']
