import jax.numpy as jnp
import numpy as np
import pytest

from tests import helpers
from vae_jax.evaluate import Estimate, estimate_nll, evaluation_keys
from vae_jax.io import checkpoint
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.report import best
from vae_jax.runs.report.metrics import make_evaluators, measure
from vae_jax.runs.report.table import rows

MODEL = helpers.linear_gaussian(helpers.LOADINGS, helpers.BIAS, helpers.NOISE)
X = np.random.RandomState(0).normal(size=(30, 4)).astype(np.float32)
EVALUATORS = make_evaluators(MODEL)
LAST = {'offset': jnp.full(2, 2.0)}


def saved(path, offset, step=3):
  """A run folder with a best checkpoint, after two epochs."""
  state = {
    'train': {
      'params': {'offset': jnp.full(2, offset)},
      'step': jnp.int32(step),
    },
    'epoch': jnp.int32(2),
  }
  (path / 'checkpoints').mkdir()
  checkpoint.save(path / 'checkpoints' / 'best', step, state)
  return RunFolder(path)


@pytest.fixture(scope='module')
def last():
  return measure(EVALUATORS, LAST, X, 5).metrics


def compared(folder, metrics):
  return best.measure_best(folder, EVALUATORS, LAST, 9, X, metrics)


@pytest.mark.slow
def test_a_better_checkpoint_is_reported_beside_the_last(tmp_path, last):
  found = compared(saved(tmp_path, 0.0), last)
  exact = {'offset': jnp.zeros(2)}
  nll = estimate_nll(evaluation_keys().nll, MODEL, exact, X, num_samples=5)
  assert found['best_epoch'] == 2
  # q is exact: the bound and the NLL are those of log p(x).
  np.testing.assert_allclose(found['best_elbo'].mean, -nll.mean, atol=1.0)
  np.testing.assert_allclose(found['best_nll'].mean, nll.mean, rtol=1e-6)
  metrics = last | found
  words = best.note(metrics, 9)
  elbo, last_elbo = found['best_elbo'].mean, last['elbo'].mean
  assert 'The best checkpoint (epoch 2, by validation ELBO)' in words
  assert (
    f'the last (epoch 9) by more than a standard error: ELBO {elbo:.3f} '
    in words
  )
  assert f'against {last_elbo:.3f} nats' in words
  assert '--checkpoint=best' in words
  names = [name for name, _ in rows(metrics)]
  assert 'ELBO, best checkpoint (epoch 2)' in names
  assert 'NLL, K = 5, best checkpoint (epoch 2)' in names


@pytest.mark.parametrize('case', ['near', 'same step', 'none', 'one example'])
def test_a_best_checkpoint_that_does_not_differ_is_left_out(
  tmp_path, last, case
):
  folder = RunFolder(tmp_path)
  if case != 'none':
    offset = 2.0 if case == 'near' else 0.0
    folder = saved(tmp_path, offset, 9 if case == 'same step' else 3)
  if case == 'one example':
    last = last | {'elbo': Estimate(last['elbo'].mean, np.nan)}
  assert compared(folder, last) == {}
  assert best.note(last, 9) == ''
