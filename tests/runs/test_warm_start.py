"""Warm start: parameters of another run, everything else new."""

import json
import shutil

import jax
import numpy as np
import pytest

from vae_jax.errors import UserError
from vae_jax.runs import load_run, recipe, train
from vae_jax.runs.record import Record
from vae_jax.runs.warm_start import WarmStart


def start(config):
  """Returns the state before the first step, and where it comes from."""
  warm = WarmStart(Record(config, None))
  run = recipe.make_run(config, warm_start=warm.read)
  return run.recipe.init(), warm.words


def test_new_run_starts_from_the_parameters_alone(trained):
  config = trained.config.replace(
    warm_start=str(trained.folder), learning_rate=0.5, batch_size=50, seed=7
  )
  state, words = start(config)
  jax.tree.map(
    np.testing.assert_array_equal,
    state.train.params,
    load_run(trained.folder).params,
  )
  assert int(state.train.step) == 0
  moments = [
    x for x in jax.tree.leaves(state.train.opt_state) if np.ndim(x) > 1
  ]
  assert moments
  assert all(not np.any(x) for x in moments)
  assert words == f'{trained.folder} at step 4 (epoch 2), raw parameters'


@pytest.mark.slow
def test_one_run_starts_every_seed_of_many(trained):
  config = trained.config.replace(warm_start=str(trained.folder), num_seeds=2)
  state, _ = start(config)
  one = load_run(trained.folder).params
  for i in range(2):
    own = jax.tree.map(lambda x, i=i: x[i], state.train.params)
    jax.tree.map(np.testing.assert_array_equal, own, one)


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'latent_dim': 3}, 'got --latent_dim=2, expected --latent_dim=3'),
    ({'hidden_sizes': (9, 9)}, 'got --hidden_sizes=16, expected --hidden_size'),
    ({'condition': 'labels'}, 'got --condition=none, expected --condition=lab'),
    (
      {'resize': (4, 4)},
      r'got float32\[64\] for the parameters decoder/output/bias, expected '
      r'float32\[16\]',
    ),
    ({'warm_start': '/nowhere'}, '--warm_start=/nowhere: .*holds no run'),
  ],
)
def test_another_model_is_refused_by_name(change, message, trained):
  options = {'warm_start': str(trained.folder)} | change
  with pytest.raises(UserError, match=message) as error:
    start(trained.config.replace(**options))
  assert '\n' not in str(error.value)


@pytest.mark.slow
def test_resume_reads_the_other_run_no_more(copied, tmp_path):
  other = tmp_path / 'new'
  config = copied.config.replace(
    warm_start=str(copied.folder), num_epochs=1, report='none'
  )
  train(config, folder=other)
  read = lambda: json.loads((other / 'config.json').read_text())
  words = read()['warm_start']
  assert words.endswith('at step 4 (epoch 2), raw parameters')
  assert read()['run']['warm_start'] == str(copied.folder)
  shutil.rmtree(copied.folder)
  train(config.replace(num_epochs=2), folder=other)
  assert read()['warm_start'] == words
  with pytest.raises(UserError, match=r'expected .* as the run in this folder'):
    train(config.replace(num_epochs=3, warm_start=''), folder=other)


@pytest.mark.slow
def test_many_seeds_do_not_start_one(copied, tmp_path):
  config = copied.config.replace(num_seeds=2, num_epochs=1, report='none')
  train(config, folder=tmp_path / 'two')
  with pytest.raises(UserError, match='got a run of seeds 0 to 1, expected'):
    start(config.replace(num_seeds=1, warm_start=str(tmp_path / 'two')))
