import json
import math

import jax.numpy as jnp
import pytest

from vae_jax import logger
from vae_jax.errors import UserError


def test_lines_are_json_objects_of_numbers(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  log = logger.MetricsLogger(path)
  log.write(10, 1, 'train', {'elbo': jnp.float32(-1.5), 'bad': math.nan})
  log.write(10, 1, 'validation', {'elbo': -2})
  lines = [json.loads(line) for line in path.read_text().splitlines()]
  assert lines == log.read()
  first = {'step': 10, 'epoch': 1, 'split': 'train', 'elbo': -1.5, 'bad': None}
  assert lines[0] == first


def test_the_same_report_stands_there_once(tmp_path):
  log = logger.MetricsLogger(tmp_path / 'metrics.jsonl')
  for value in (1.0, 1.0, 2.0):
    log.write_once(1, 1, 'test', {'nll': value})
  assert [line['nll'] for line in log.read()] == [1.0, 2.0]


def test_rewind_drops_what_will_be_written_again(tmp_path):
  log = logger.MetricsLogger(tmp_path / 'metrics.jsonl')
  log.rewind(0)
  for step in (1, 2, 3):
    log.write(step, step, 'train', {})
  log.rewind(2)
  assert [line['step'] for line in log.read()] == [1, 2]


def test_a_line_cut_short_by_a_crash_is_dropped(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  logger.MetricsLogger(path).write(1, 1, 'train', {})
  with open(path, 'a') as file:
    file.write('{"step": 2, "ep')
  assert len(logger.read_metrics(path)) == 1
  # Also by who appends next, without having read.
  logger.MetricsLogger(path).write(3, 3, 'test', {})
  assert [line['step'] for line in logger.read_metrics(path)] == [1, 3]


@pytest.mark.parametrize(
  'line',
  [
    *('nonsense', '', '[1]', '3', '{"step": 1}', '[' * 10**5, '9' * 5000),
    '{"step": "1", "epoch": 1, "split": "train"}',
    '{"step": 1, "epoch": 1, "split": "train", "elbo": [1]}',
  ],
  ids=lambda line: line[:30],
)
def test_a_damaged_line_is_numbered(tmp_path, line):
  path = tmp_path / 'metrics.jsonl'
  path.write_text(line + '\n')
  logger.MetricsLogger(path).write(1, 1, 'train', {})
  with pytest.raises(UserError, match='line 1: damaged'):
    logger.read_metrics(path)


def test_piped_progress_is_plain_lines(capfd):
  with logger.Progress(10, 0, 'training') as progress:
    progress.advance(5, 'half')
    progress.line('epoch 1')
  out, err = capfd.readouterr()
  assert out == 'epoch 1\n'
  assert err == ''


def test_progress_on_a_terminal_is_a_bar(capfd, monkeypatch):
  monkeypatch.setattr(logger.sys.stderr, 'isatty', lambda: True)
  with logger.Progress(10, 5, 'training') as progress:
    progress.advance(5, 'ELBO -1')
    progress.line('epoch 1')
  out, err = capfd.readouterr()
  assert out == ''
  assert 'training: 100%' in err
  assert 'ELBO -1' in err
  assert list(logger.track('NLL', range(3))) == [0, 1, 2]


def test_table_is_aligned():
  table = logger.format_table('T', [('a', '1'), ('long', '2')])
  assert table == 'T\n  a     1\n  long  2'
