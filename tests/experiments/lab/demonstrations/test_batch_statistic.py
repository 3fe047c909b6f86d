import jax
import numpy as np
import pytest

import vae_jax as vj
from experiments.lab.demonstrations import batch_statistic


@pytest.mark.slow
def test_the_nll_of_a_batch_statistic_depends_on_the_batch(
  measure, assert_draws, tmp_path
):
  rows = alone, *in_batches = measure(batch_statistic, 0)
  assert alone.check == 'passed'
  assert alone.difference == 0
  for row in in_batches:
    assert row.check == 'FAILED'
    assert row.nll - alone.nll == pytest.approx(row.difference, abs=1e-9)
  # A likelihood would not change with its company: 6 standard errors.
  for row in in_batches[1:]:
    assert row.difference > 6 * row.standard_error
  assert in_batches[-1].difference > in_batches[1].difference
  assert 'by class' in batch_statistic.table(rows)
  assert_draws(batch_statistic, rows, tmp_path)


def test_log_marginals_are_those_of_the_library():
  init_key, x_key, own_key, key = jax.random.split(jax.random.key(0), 4)
  params = batch_statistic._init(init_key)
  # q near p(z): weights of little variance.
  params |= {'heads': 0.2 * params['heads']}
  logits = lambda p, z: batch_statistic._logits(p, z @ p['decoder'], 0.1, 0.9)
  model = vj.VAE(
    init=batch_statistic._init,
    encode=batch_statistic._encode,
    decode=lambda params, z: vj.Bernoulli(logits(params, z)),
    prior=lambda params: batch_statistic._prior(),
  )
  x = (jax.random.uniform(x_key, (50, 64)) < 0.5).astype(float)
  ours = -batch_statistic._log_marginals(
    own_key, params, jax.vmap(lambda z: logits(params, z)), x
  )
  found = vj.estimate_nll(
    key, model, params, x, num_samples=batch_statistic.NUM_SAMPLES
  )
  difference = np.asarray(ours) - found.per_example
  error = difference.std(ddof=1) / np.sqrt(len(x))
  # Two estimates of one number by draws of their own: false alarm 1 in 5e8.
  assert abs(difference.mean()) < 6 * error
  assert error < 0.2
