"""Runs of several stochastic layers: train, resume, load and many seeds."""

import jax
import numpy as np
import pytest

from vae_jax import data
from vae_jax.runs import Config, load_run, train

pytestmark = pytest.mark.slow

OPTIONS = {
  'latent_dims': (3, 2),
  'hidden_sizes': (8,),
  'layer_hidden_sizes': (4,),
  'batch_size': 500,
  'nll_num_samples': 3,
  'report': 'table',
}


@pytest.mark.parametrize('inference', ['bottom_up', 'top_down'])
def test_a_resumed_run_equals_a_straight_one_and_is_loaded(
  inference, tmp_path, capsys
):
  options = OPTIONS | {'inference': inference}
  straight = train(Config(**options, num_epochs=2), folder=tmp_path / 'a')
  printed = capsys.readouterr().out
  order = 'q(z1|x) q(z2|z1)' if inference == 'bottom_up' else 'q(z2|x) q(z1|z2'
  assert order in printed
  assert 'active units, z1' in printed
  assert 'KL, z2' in printed
  train(Config(**options, num_epochs=1), folder=tmp_path / 'b')
  train(Config(**options, num_epochs=2), folder=tmp_path / 'b')
  runs = [load_run(tmp_path / name) for name in 'ab']
  jax.tree.map(np.testing.assert_array_equal, *(run.params for run in runs))
  assert straight['active_units_z1'] <= 3
  run, x = runs[0], data.load_test('digits').x[:5]
  q = run.encode(x)
  keys = jax.random.split(jax.random.key(0), 5)
  z = jax.vmap(lambda q, key: q.sample(key))(q, keys)
  assert {name: each.shape for name, each in z.items()} == {
    'z1': (5, 3),
    'z2': (5, 2),
  }
  one = run.model.encode(run.params, run.preprocess(x)[3])
  each = jax.tree.map(lambda leaf: leaf[3], (q, z))
  np.testing.assert_allclose(
    each[0].log_prob(each[1]), one.log_prob(each[1]), rtol=1e-4
  )
  assert run.sample(jax.random.key(1), 4).shape == (4, 8, 8, 1)
  assert run.reconstruct(jax.random.key(2), x).shape == (5, 8, 8, 1)


def test_many_seeds_report_by_layer_and_equal_single_runs(tmp_path, capsys):
  config = Config(**OPTIONS, num_epochs=1)
  many = train(config.replace(num_seeds=2), folder=tmp_path / 'many')
  assert '+-' in capsys.readouterr().out
  one = train(config.replace(seed=1), folder=tmp_path / 'one')
  assert many['active_units_z1_seed1'] == one['active_units_z1']
  np.testing.assert_allclose(many['kl_z2_seed1'], one['kl_z2'], rtol=1e-4)
  mean = np.mean([many['kl_z1_seed0'], many['kl_z1_seed1']])
  np.testing.assert_allclose(many['kl_z1'], mean, rtol=1e-6)
