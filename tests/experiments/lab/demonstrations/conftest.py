"""Helpers of the tests of the demonstrations."""

import jax
import numpy as np
import pytest

from tests.helpers import SIGMAS


@pytest.fixture(scope='session')
def measure():
  """Returns a function that runs a demonstration with a fixed key."""
  return lambda module, num_draws: module.measure(jax.random.key(0), num_draws)


@pytest.fixture(scope='session')
def assert_exact():
  """Returns an assertion that estimates equal their exact values.

  At 6 standard errors (p = 2e-9 per comparison) the 100 or so comparisons of
  these tests fail a correct library once in a million seeds; at 4 standard
  errors (64 comparisons of `test_quadratic`), once in 250.
  """

  def check(comparisons, sigmas=SIGMAS):
    scores = np.array([comparison.z for comparison in comparisons])
    assert scores.size
    assert np.all(np.abs(scores) < sigmas), scores

  return check


@pytest.fixture(scope='session')
def assert_draws():
  """Returns an assertion that a demonstration draws its rows as a PNG."""

  def check(module, rows, folder):
    path = module.draw(folder / 'figure.png', rows)
    assert path.read_bytes().startswith(b'\x89PNG')

  return check
