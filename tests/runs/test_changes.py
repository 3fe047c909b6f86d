"""Options that a resumed run changes on purpose, and their history."""

import json

import jax
import numpy as np
import pytest

from tests.runs import toy
from vae_jax.errors import UserError
from vae_jax.runs import Config, changes, loop
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.record import Record

CONFIG = Config(latent_dim=3, ema=0.9, patience=4, num_epochs=20)
RECORD = Record(CONFIG, (8, 8, 1))
POSSIBLE = {
  'learning_rate': 0.5,
  'schedule': 'cosine',
  'learning_rate_warmup_steps': 3,
  'clip_norm': 1.0,
  'ema': 0.99,
  'num_epochs': 3,
  'patience': 2,
  'objective': 'iwae',
  'num_samples': 7,
}
IMPOSSIBLE = {
  'optimizer': 'sgd',
  'ema': 0.0,
  'batch_size': 10,
  'seed': 1,
  'num_seeds': 2,
  'latent_dim': 4,
  'train_fraction': 0.5,
  'binarisation': 'dynamic',
}


@pytest.fixture
def folder(tmp_path):
  found = RunFolder(tmp_path)
  found.write_record(RECORD)
  return found


def changed(**options):
  return RECORD._replace(config=CONFIG.replace(**options))


@pytest.mark.parametrize('name', POSSIBLE)
def test_option_may_change_on_purpose_only(name, folder):
  value, old = POSSIBLE[name], CONFIG.flat()[name]
  with pytest.raises(UserError, match=f'--{name}=.*resume_with_changes to'):
    folder.check_same_run(changed(**{name: value}))
  new = changed(**{name: value}, resume_with_changes=True)
  assert folder.check_same_run(new) == {name: old}
  recorded = changes.to_record(RECORD, new, {name: old})
  assert recorded == {name: [old, value]}


@pytest.mark.parametrize('name', IMPOSSIBLE)
def test_option_that_moves_arrays_or_data_never_changes(name, folder):
  new = changed(**{name: IMPOSSIBLE[name]}, resume_with_changes=True)
  with pytest.raises(UserError, match=f'--{name}=.*keeps data, model') as error:
    folder.check_same_run(new)
  assert '\n' not in str(error.value)


@pytest.mark.parametrize('patience', [5, 0])
def test_patience_may_grow(patience, folder):
  assert folder.check_same_run(changed(patience=patience)) == {'patience': 4}


def test_flag_is_not_recorded_and_needs_a_run(folder):
  new = changed(resume_with_changes=True)
  assert folder.check_same_run(new) == {}
  folder.write_record(new, resumed=True)
  assert 'resume_with_changes' not in folder.config.read_text()
  with pytest.raises(UserError, match='without a checkpoint'):
    changes.check_resumes(new.config, folder.path, resumes=False)
  changes.check_resumes(CONFIG, folder.path, resumes=False)


def history(folder):
  return json.loads(folder.config.read_text()).get('changes')


def test_history_lists_each_change_with_its_step(folder, caplog):
  first = changed(learning_rate=0.5)
  folder.write_record(
    first, resumed=True, step=30, changed={'learning_rate': [0.001, 0.5]}
  )
  folder.write_record(first, resumed=True, step=40)
  expected = [{'step': 30, 'options': {'learning_rate': [0.001, 0.5]}}]
  assert history(folder) == expected
  second = changed(learning_rate=0.5, beta=2.0)
  folder.write_record(
    second, resumed=True, step=50, changed={'beta': [1.0, 2.0]}
  )
  expected.append({'step': 50, 'options': {'beta': [1.0, 2.0]}})
  assert history(folder) == expected
  assert folder.read_record() == second
  assert not caplog.records  # It is not called edited.
  # A checkpoint before a change: its steps are taken again.
  folder.write_record(second, resumed=True, step=35)
  assert [x['step'] for x in history(folder)] == [30, 35]


def test_damaged_history_is_replaced():
  for damaged in ('x', 3, [1, {'step': 'a'}], {'a': 1}):
    found = changes.add_to_history(damaged, 5, {'beta': [1.0, 2.0]})
    assert found[-1] == {'step': 5, 'options': {'beta': [1.0, 2.0]}}


def other_metrics():
  """A recipe whose steps have other metrics than those of the toy."""
  init = lambda: toy.init()._replace(sums={'iwae': np.zeros(())})
  return toy.RECIPE._replace(init=init)


def test_other_metrics_start_at_an_epoch(tmp_path):
  folder = RunFolder(tmp_path)
  state = loop.start_or_resume(toy.RECIPE, folder)
  state, _ = toy.steps(state, 3)
  folder.save(state)
  with pytest.raises(UserError, match='at step 3, within epoch 1'):
    loop.start_or_resume(other_metrics(), folder, new_metrics=True)
  state = loop.finish_epoch(state, -1.0)
  folder.save(state)
  found = loop.start_or_resume(other_metrics(), folder, new_metrics=True)
  assert found.sums == {'iwae': 0}
  jax.tree.map(np.testing.assert_array_equal, found.train, state.train)
  with pytest.raises(UserError, match='sums/iwae'):
    loop.start_or_resume(other_metrics(), folder)
