"""Data that moved, and data that were replaced under the name of a run."""

import json
import pathlib
import shutil

import numpy as np
import pytest

from vae_jax import data
from vae_jax.errors import UserError
from vae_jax.runs import (
  Config,
  EvaluateConfig,
  RunFolder,
  evaluate,
  splits,
  train,
  trainer,
)
from vae_jax.runs.report import build

OLD = pathlib.Path(__file__).parent / 'folder_of_2f613a7'


@pytest.fixture
def digits(tmp_path):
  """The images and labels of the digits, and a file of the same examples."""
  from sklearn import datasets

  found = datasets.load_digits()
  images = np.round(found.images * (255 / 16)).astype(np.uint8)
  np.savez(tmp_path / 'moved.npz', images=images, labels=found.target)
  return images, found.target, str(tmp_path / 'moved.npz')


@pytest.fixture
def begun(monkeypatch):
  """Lets commands begin, and leaves out the loop and the report."""
  runs = []
  monkeypatch.setattr(trainer.loop, 'train_loop', lambda *args, **kw: args[2])
  monkeypatch.setattr(trainer, '_report', lambda *args: {})
  report = lambda run, *args, **options: runs.append(run) or ({}, [])
  monkeypatch.setattr(build, 'report', report)
  return runs


def test_digests_of_all_splits_are_recorded(trained):
  content = json.loads((trained.folder / 'config.json').read_text())
  train_split, validation = data.load_train('digits', num_validation=1000)
  assert content['data_digests'] == {
    'train': data.digest(train_split),
    'validation': data.digest(validation),
    'test': data.digest(data.load_test('digits')),
  }


def test_moved_data_are_taken(copied, digits, begun, capsys):
  path = digits[-1]
  evaluate(EvaluateConfig(workdir=str(copied.folder), dataset=path))
  np.testing.assert_array_equal(begun[0].stored.x, data.load_test('digits').x)
  assert RunFolder(copied.folder).read_record().config == copied.config
  moved = copied.config.replace(dataset=path)
  train(moved, folder=copied.folder)
  assert f'dataset was digits, is {path}\n' in capsys.readouterr().out
  assert RunFolder(copied.folder).read_record().config == moved


def pixel(images, labels):
  images = images.copy()
  images[:, 4, 4] ^= 1
  return {'images': images, 'labels': labels}


REPLACED = {
  'a pixel': pixel,
  'fewer': lambda x, y: {'images': x[:300], 'labels': y[:300]},
  'more': lambda x, y: {'images': np.concatenate([x, x])},
  'order': lambda x, y: {'images': x[::-1], 'labels': y[::-1]},
  'labels': lambda x, y: {'images': x, 'labels': (y + 1) % 10},
  'size': lambda x, y: {'images': x[:, :7]},
}


@pytest.mark.parametrize('change', REPLACED.values(), ids=REPLACED)
def test_replaced_data_are_refused_by_name(change, copied, digits, begun):
  images, labels, path = digits
  record = RunFolder(copied.folder).read_record()
  RunFolder(copied.folder).write_record(
    record._replace(config=record.config.replace(dataset=path))
  )
  np.savez(path, **change(images, labels))
  files = {p: p.read_bytes() for p in copied.folder.rglob('*.*') if p.is_file()}
  del files[copied.folder / '.lock']
  options = {'workdir': str(copied.folder)}
  for command in (
    lambda: train(record.config.replace(dataset=path), folder=copied.folder),
    lambda: evaluate(EvaluateConfig(**options, split='test')),
    lambda: evaluate(EvaluateConfig(**options, split='validation')),
  ):
    with pytest.raises(UserError, match=r'moved\.npz: got other data .* exam'):
      command()
  assert not begun
  assert all(path.read_bytes() == before for path, before in files.items())


def test_old_folder_has_no_digest_to_compare_with(
  tmp_path, digits, begun, capsys
):
  folder = tmp_path / 'old'
  shutil.copytree(OLD, folder)
  evaluate(EvaluateConfig(workdir=str(folder), dataset=digits[-1]))
  assert 'warning' in capsys.readouterr().out
  config = RunFolder(folder).read_record().config
  with pytest.raises(UserError, match=r'--dataset=.*, expected digits'):
    train(config.replace(dataset=digits[-1]), folder=folder)


def test_splits_without_digests_are_loaded():
  found = splits.load(Config())
  assert [len(each.x) for each in found.values()] == [1375, 152, 270]
  assert splits.load(Config(), splits.digests_of(found)).keys() == found.keys()
  with pytest.raises(UserError, match='got other data'):
    splits.load(Config(), {})


def test_first_examples_keep_their_labels():
  nine = np.arange(9)
  for part in splits._first(data.Split(nine, nine), 4)[:2]:
    assert part.tolist() == [0, 1, 2, 3]
  assert splits._first(data.Split(nine, None), 0).labels is None
