import numpy as np
import pytest

from vae_jax import plots
from vae_jax.evaluate import Estimate, Latents
from vae_jax.runs.report.figures import metric_figures
from vae_jax.runs.report.figures.drawn import Skipped


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
      plots,
      name,
      lambda *a, name=name, **k: calls.append((*a, *k.values())) or name,
    )
  return calls


def test_learning_curve_compares_the_same_bound_of_both_splits(seen):
  records = [
    {'split': 'train', 'epoch': 1, 'iw_elbo': -2.0},
    {'split': 'validation', 'epoch': 1, 'elbo': -4.0, 'iw_elbo': -3.0},
    {'split': 'test', 'epoch': 1, 'elbo': -5.0},
  ]
  metric_figures.learning_curve(records, 5)
  assert seen[0][1] == {
    'train, IW-ELBO of K = 5': ([1], [-2.0]),
    'validation, IW-ELBO of K = 5': ([1], [-3.0]),
  }
  # A run of an older version, which logged no such bound, or one by the ELBO.
  records[1].pop('iw_elbo')
  metric_figures.learning_curve(records, 5)
  assert list(seen[1][1]) == ['train, IW-ELBO of K = 5', 'validation, ELBO']
  records[0] = {'split': 'train', 'epoch': 1, 'elbo': -3.0}
  metric_figures.learning_curve(records, 5)
  assert list(seen[2][1]) == ['train, ELBO', 'validation, ELBO']


def test_bounds_of_a_semi_supervised_run_are_named(seen):
  bounds = {'elbo': -4.0, 'labelled_elbo': -2.0, 'unlabelled_elbo': -3.0}
  records = [{'split': 'train', 'epoch': 1} | bounds]
  metric_figures.learning_curve(records, 5)
  assert list(seen[0][1]) == [
    'train, ELBO of x and y',
    'train, ELBO of x, y summed out',
  ]


def test_figures_of_a_conditional_model_name_y(seen):
  metric_figures.nll_curve({1: (3.0, 0.1)}, 'test', ' of x given y')
  metric_figures.kl_bars(latents([0.5, 0.2], [1.0, 1.0]), is_given=True)
  assert seen[0][0] == 'Negative log-likelihood of x given y, test split'
  assert seen[1][1][1] == 'E[KL(q(z_j|x, y) || p(z_j|y))] (nats)'
  means = np.arange(10.0).reshape(5, 2)
  metric_figures.posterior_means(of_means(means), np.arange(5), is_given=True)
  assert seen[2][1] == ('E[z[0]|x, y]', 'E[z[1]|x, y]')


def test_nll_is_drawn_at_every_k(seen):
  nll = {1: (3.0, 0.2), 10: (2.0, 0.1)}
  drawn = metric_figures.nll_curve(nll, 'validation')
  assert (drawn.name, drawn.figure) == ('nll_curve', 'error_bars')
  title, labels, points = seen[0]
  assert title.endswith('of the validation split')
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


def test_units_that_carry_information_are_counted_beside_active_ones(seen):
  metric_figures.kl_bars(latents([0.5, 0.02, 0.1, 0.11], [0.2, 0.9, 0.1, 0.0]))
  assert seen[0][0] == (
    'KL of each latent unit: 3 of 4 active, 2 with more than 0.1 nats'
  )


def test_units_of_a_single_example_are_neither_active_nor_inactive(seen):
  one = latents([1.0, 2.0], [0.0, 0.0])._replace(means=np.zeros((1, 2)))
  metric_figures.kl_bars(one)
  title, _, groups, _ = seen[0]
  assert list(groups) == ['one example']
  assert 'active' not in title


def test_bars_of_many_units_are_those_of_the_largest_kl(seen):
  metric_figures.kl_bars(latents(np.arange(600.0), np.ones(600)))
  title, _, groups, names = seen[0]
  assert names == [str(unit) for unit in range(599, 99, -1)]
  assert len(groups['active'].places) == 500
  assert title.endswith('the 500 largest')


def of_means(means, is_active=True):
  size = means.shape[1]
  found = latents(np.ones(size), np.full(size, 1.0 if is_active else 1e-6))
  return found._replace(means=means)


def test_posterior_means_of_a_collapsed_run_are_skipped():
  means = 1 + 1e-4 * np.random.RandomState(0).normal(size=(9, 5))
  found = metric_figures.posterior_means(
    of_means(means, is_active=False), np.zeros(9, int)
  )
  assert isinstance(found, Skipped)
  assert found.reason.startswith('no latent unit is active')


def test_two_examples_lie_on_a_line(seen):
  means = np.random.RandomState(0).normal(size=(2, 5))
  metric_figures.posterior_means(of_means(means), np.arange(2))
  _, names, points, *_ = seen[0]
  assert '100% of the variance' in names[0]
  np.testing.assert_array_equal(points[:, 1], 0)


def test_two_units_are_not_projected(seen):
  means, labels = np.arange(10.0).reshape(5, 2), np.array([1, 0, 1, 2, 2])
  metric_figures.posterior_means(of_means(means), labels)
  _, names, points, classes, rows = seen[0]
  assert not rows
  assert names == ('E[z[0]|x]', 'E[z[1]|x]')
  np.testing.assert_array_equal(points, means)
  np.testing.assert_array_equal(classes, labels)


def test_posterior_means_name_the_layers(seen):
  means, labels = np.arange(10.0).reshape(5, 2), np.arange(5)
  found = of_means(means)._replace(sizes={'z1[0]': 1, 'z2[0]': 1})
  metric_figures.posterior_means(found, labels)
  title, names, *_ = seen[0]
  assert 'E[z1, z2|x]' in title
  assert names == ('E[z1[0]|x]', 'E[z2[0]|x]')


def test_one_unit_is_drawn_against_its_label(seen):
  means, labels = np.array([[0.5], [1.5], [2.5]]), np.array([7, 3, 7])
  metric_figures.posterior_means(of_means(means), labels)
  np.testing.assert_array_equal(seen[0][2], [[0.5, 1], [1.5, 0], [2.5, 1]])
  assert seen[0][-1] == ['3', '7']
  metric_figures.posterior_means(of_means(means), labels / 2)
  np.testing.assert_array_equal(
    seen[1][2], [[0.5, 3.5], [1.5, 1.5], [2.5, 3.5]]
  )
  assert not seen[1][-1]


def test_more_units_are_projected_on_two_principal_components(seen):
  random = np.random.RandomState(0)
  basis, _ = np.linalg.qr(random.normal(size=(6, 6)))
  # The standard deviation of each direction is known.
  scores, _ = np.linalg.qr(random.normal(size=(500, 6)))
  scores -= scores.mean(axis=0)
  scores *= [4.0, 1.0, 0.1, 5.0, 0.2, 0.3]
  means = 3 + scores @ basis
  metric_figures.posterior_means(of_means(means), np.zeros(500, int))
  title, names, points, *_ = seen[0]
  assert '6 units' in title
  for i, j in ((0, 3), (1, 0)):
    r = np.corrcoef(points[:, i], scores[:, j])[0, 1]
    assert abs(r) > 0.99
  shares = np.array([25, 16]) / (16 + 1 + 0.01 + 25 + 0.04 + 0.09)
  for name, share in zip(names, shares, strict=True):
    percent = float(name.split('(')[1].split('%')[0])
    # Subtracting the mean makes the scores slightly correlated.
    assert abs(percent - 100 * share) < 3


def test_kl_that_does_not_decompose_is_not_drawn(seen):
  found = metric_figures.kl_bars(latents([3.0], [0.0, 0.5]))
  assert found.reason == 'the KL does not decompose over the units of z'
  assert not seen
  metric_figures.kl_bars(latents([3.0], [0.5]))
  assert len(seen) == 1
