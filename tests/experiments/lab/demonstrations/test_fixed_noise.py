import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.lab.demonstrations import fixed_noise

# The ends of the range of N: every N is a program of its own.
NUM_SAMPLES = (fixed_noise.NUM_SAMPLES[0], fixed_noise.NUM_SAMPLES[-1])


@pytest.fixture(scope='module')
def rows(measure):
  """Returns the rows of 1000 objectives per N."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(fixed_noise, 'NUM_SAMPLES', NUM_SAMPLES)
    return measure(fixed_noise, 100_000)


@pytest.mark.slow
def test_error_of_the_optimum_of_a_square_is_exact(rows, assert_exact):
  rows = [row for row in rows if row.f == 'x^2']
  n = np.array([row.num_samples for row in rows])
  assert n.tolist() == [1, 512]
  np.testing.assert_allclose([row.error.exact for row in rows], n**-0.5)
  np.testing.assert_allclose([x.attained.exact for x in rows], 1 - 1 / n)
  assert_exact([row.error for row in rows])
  assert_exact([row.attained for row in rows])


def test_error_of_the_optimum_falls_as_the_square_root_of_n(rows, assert_exact):
  few, many = [row for row in rows if row.f != 'x^2']
  # Asymptotic in N.
  assert_exact([many.error, many.attained])
  slope = np.log(many.error.measured / few.error.measured) / np.log(512)
  # Each error is measured to 2 %, the slope to 0.005.
  assert -0.55 < slope < -0.4


@pytest.mark.quick('3.0')
@pytest.mark.parametrize('start', [-6.0, 3.0])
def test_newton_finds_the_optimum_in_closed_form(start, key):
  eps = jax.random.normal(key, (100,))
  closed = {
    'x^2': -jnp.mean(eps),
    'exp(x) - x': -jnp.log(jnp.mean(jnp.exp(eps))),
  }
  for name, loss in fixed_noise.LOSSES.items():
    objective = functools.partial(fixed_noise.fixed_objective, loss.f, eps)
    theta = fixed_noise.minimise(objective, jnp.array(start))
    np.testing.assert_allclose(theta, closed[name], atol=1e-5)
    np.testing.assert_allclose(
      objective(theta), np.mean(loss.f(theta + eps)), rtol=1e-5
    )


def test_table_and_figure(rows, assert_draws, tmp_path, monkeypatch):
  monkeypatch.setattr(fixed_noise, 'NUM_SAMPLES', NUM_SAMPLES)
  table = fixed_noise.table(rows)
  assert f'{rows[0].error.measured:.4f}' in table
  assert_draws(fixed_noise, rows, tmp_path)
