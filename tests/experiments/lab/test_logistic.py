import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.lab import logistic, tabular

DIAGONAL, FULL = logistic.POSTERIORS


@pytest.fixture(scope='module')
def table():
  return tuple(map(jnp.asarray, tabular.load_breast_cancer()))


@pytest.fixture(scope='module')
def trained(table):
  return logistic.train(
    jax.random.key(0), DIAGONAL, logistic.ESTIMATORS['pathwise'], *table, 100
  )


@pytest.mark.slow
def test_training_raises_the_bound_above_constant_prediction(trained, table):
  _, labels = table
  assert np.all(np.isfinite(trained.elbo))
  share = float(labels.mean())
  constant = len(labels) * (
    share * np.log(share) + (1 - share) * np.log(1 - share)
  )
  assert trained.elbo[-1] > constant / 3
  assert list(trained.steps) == list(range(0, 101, 10))


@pytest.mark.slow
def test_gradient_variances_have_the_published_order(
  trained, table, monkeypatch
):
  """Pathwise ~ measure-valued << delta < leave-one-out < score function.

  Mohamed et al. 2020, section 8.3, with fewer draws per gradient.
  """
  monkeypatch.setattr(logistic, '_SAMPLES', 10)
  monkeypatch.setattr(logistic, '_VARIANCE_DRAWS', 100)
  last = jax.tree.map(lambda x: x[-1:], trained.snapshots)
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
  # The ratios are two or more, and each variance has an error of a tenth.
  assert path * 3 < rest[0] < rest[1] < rest[2]


@pytest.mark.slow
def test_training_with_full_covariance_raises_the_bound(table):
  run = logistic.train(
    jax.random.key(0), FULL, logistic.ESTIMATORS['pathwise'], *table, 100
  )
  assert run.elbo[-1] > run.elbo[0] + 100
  q = FULL.make(run.params)
  assert np.abs(np.triu(q.scale, 1)).max() == 0
  assert not logistic.supports('measure-valued, coupled', FULL)
