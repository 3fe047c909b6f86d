"""Buckets of equal mass under the prior."""

import numpy as np
from scipy import stats

from vae_jax.runs.compress import buckets


def test_masses_of_the_prior_are_equal():
  zeros = np.zeros(3)
  groups = buckets.group_masses(zeros, zeros, 7)
  assert groups.shape == (3, 16)
  np.testing.assert_allclose(groups, 1 / 16, rtol=1e-6)
  within = buckets.masses_within(zeros, zeros, 7, np.array([0, 3, 15]))
  np.testing.assert_allclose(within, np.full((3, 8), 1 / 8), rtol=1e-6)


def test_masses_are_those_of_the_normal():
  loc, scale = np.array([0.4, -1.5]), np.array([0.3, 0.05])
  edges = stats.norm.ppf(np.arange(65) / 64)
  exact = np.diff(stats.norm.cdf((edges - loc[:, None]) / scale[:, None]))
  groups = buckets.group_masses(loc, np.log(scale), 6)
  for group in range(8):
    each = np.full(2, group)
    within = buckets.masses_within(loc, np.log(scale), 6, each)
    found = groups[:, group, None] * within
    expected = exact[:, 8 * group : 8 * (group + 1)]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-9)


def test_masses_far_from_the_posterior_can_be_coded():
  within = buckets.masses_within(
    np.array([8.0]), np.array([-20.0]), 12, np.array([0])
  )
  np.testing.assert_allclose(within.sum(), 1, rtol=1e-6)
  assert np.all(within > 0)


def test_centres_are_medians_of_their_buckets():
  quantiles = stats.norm.cdf(buckets.centres(4))
  np.testing.assert_allclose(quantiles, (np.arange(16) + 0.5) / 16, rtol=1e-5)
