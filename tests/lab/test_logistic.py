import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax import data
from vae_jax.lab import logistic

DIAGONAL, FULL = logistic.POSTERIORS


@pytest.fixture(scope='module')
def table():
  return tuple(map(jnp.asarray, data.load_breast_cancer()))


@pytest.fixture(scope='module')
def climbed(table):
  return logistic.train(
    jax.random.key(0), DIAGONAL, logistic.ESTIMATORS['pathwise'], *table, 300
  )


def test_the_bound_rises_above_guessing(climbed, table):
  _, labels = table
  assert np.all(np.isfinite(climbed.elbo))
  share = float(labels.mean())
  guessing = len(labels) * (
    share * np.log(share) + (1 - share) * np.log(1 - share)
  )
  assert climbed.elbo[-1] > guessing / 3
  assert list(climbed.steps) == list(range(0, 301, 30))


def test_variances_stand_in_the_published_order(climbed, table):
  """numbers: path ~ measure-valued << delta < leave-one-out < plain score."""
  last = jax.tree.map(lambda x: x[-1:], climbed.snapshots)
  total = {}
  for name in (
    'pathwise',
    'measure-valued, coupled',
    'score, delta',
    'score, leave-one-out',
    'score function',
  ):
    variances = logistic.gradient_variances(
      jax.random.key(1), DIAGONAL, logistic.ESTIMATORS[name], *table, last
    )
    total[name] = float(sum(v[0] for v in variances.values()))
  path, measure, *rest = total.values()
  assert measure < 3 * path
  # Factors of two and more; their own errors are a tenth.
  assert path * 3 < rest[0] < rest[1] < rest[2]


def test_a_full_covariance_is_climbed_too(table):
  run = logistic.train(
    jax.random.key(0), FULL, logistic.ESTIMATORS['pathwise'], *table, 300
  )
  assert run.elbo[-1] > run.elbo[0] + 100
  q = FULL.make(run.params)
  assert np.abs(np.triu(q.scale, 1)).max() == 0
  assert not logistic.serves('measure-valued, coupled', FULL)
