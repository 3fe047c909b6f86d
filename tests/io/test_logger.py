import json
import math
from typing import Any, NamedTuple

import jax.numpy as jnp
import pytest

from vae_jax.errors import UserError
from vae_jax.io import logger


class Estimate(NamedTuple):
  mean: Any
  standard_error: Any


def test_flat_metrics_are_unchanged():
  metrics = {'elbo': -1.5, 'elbo_standard_error': 0.1, 'note': 'text'}
  assert list(logger.flatten(metrics).items()) == list(metrics.items())


def test_nested_metrics_are_flattened():
  metrics = {
    'elbo': Estimate(1.0, 0.1),
    'gap': {
      'elbo': Estimate(2.0, 0.2),
      'parts': {'approximation': 3.0, 'amortisation': Estimate(4.0, 0.4)},
    },
    'kl': 5.0,
  }
  assert list(logger.flatten(metrics).items()) == [
    ('elbo', 1.0),
    ('elbo_standard_error', 0.1),
    ('gap_elbo', 2.0),
    ('gap_elbo_standard_error', 0.2),
    ('gap_parts_approximation', 3.0),
    ('gap_parts_amortisation', 4.0),
    ('gap_parts_amortisation_standard_error', 0.4),
    ('kl', 5.0),
  ]


@pytest.mark.parametrize(
  ('metrics', 'name'),
  [
    ({'a': {'b': 1}, 'a_b': 2}, 'a_b'),
    ({'a': {'b': {'c': 1}, 'b_c': 2}}, 'b_c'),
    ({'a': Estimate(1, 2), 'a_standard_error': 3}, 'a_standard_error'),
  ],
)
def test_metrics_of_the_same_flat_name_are_refused(metrics, name):
  with pytest.raises(ValueError, match=f'two metrics have the .* {name!r}'):
    logger.flatten(metrics)


def test_nested_metrics_are_logged_flat(tmp_path):
  log = logger.MetricsLogger(tmp_path / 'metrics.jsonl')
  metrics = {'nll': Estimate(jnp.float32(2.5), math.inf), 'gap': {'kl': 1}}
  log.write(10, 1, 'test', metrics)
  flat = {'nll': 2.5, 'nll_standard_error': None, 'gap_kl': 1}
  place = {'step': 10, 'epoch': 1, 'split': 'test'}
  assert log.read() == [place | flat]
  log.write_once(10, 1, 'test', metrics)
  assert log.read() == [place | flat]


def test_lines_are_json_objects_of_numbers(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  log = logger.MetricsLogger(path)
  log.write(10, 1, 'train', {'elbo': jnp.float32(-1.5), 'bad': math.nan})
  log.write(10, 1, 'validation', {'elbo': -2})
  lines = [json.loads(line) for line in path.read_text().splitlines()]
  assert lines == log.read()
  first = {'step': 10, 'epoch': 1, 'split': 'train', 'elbo': -1.5, 'bad': None}
  assert lines[0] == first


def test_write_once_does_not_repeat_a_line(tmp_path):
  log = logger.MetricsLogger(tmp_path / 'metrics.jsonl')
  for value in (1.0, 1.0, 2.0):
    log.write_once(1, 1, 'test', {'nll': value})
  assert [line['nll'] for line in log.read()] == [1.0, 2.0]


def test_rewind_removes_later_steps(tmp_path):
  log = logger.MetricsLogger(tmp_path / 'metrics.jsonl')
  log.rewind(0)
  for step in (1, 2, 3):
    log.write(step, step, 'train', {})
  log.rewind(2)
  assert [line['step'] for line in log.read()] == [1, 2]


def test_an_incomplete_last_line_is_ignored_and_removed(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  logger.MetricsLogger(path).write(1, 1, 'train', {})
  with open(path, 'a') as file:
    file.write('{"step": 2, "ep')
  assert len(logger.read_metrics(path)) == 1
  # Appending removes it too, without reading the file first.
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
def test_the_error_gives_the_number_of_a_damaged_line(tmp_path, line):
  path = tmp_path / 'metrics.jsonl'
  path.write_text(line + '\n')
  logger.MetricsLogger(path).write(1, 1, 'train', {})
  with pytest.raises(UserError, match='line 1: damaged'):
    logger.read_metrics(path)


def test_progress_in_a_pipe_is_plain_lines(capfd):
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
  # Epochs and their validation ELBO stay above the bar.
  assert out == 'epoch 1\n'
  assert 'training: 100%' in err
  assert 'ELBO -1' in err
  assert list(logger.track('NLL', range(3))) == [0, 1, 2]


def test_a_pipe_shows_the_progress_of_a_measurement(capfd, monkeypatch):
  now = iter([0.0, 1.0, 6.0, 7.0, 12.0])
  monkeypatch.setattr(logger.time, 'monotonic', lambda: next(now))
  assert list(logger.track('NLL', range(4))) == [0, 1, 2, 3]
  assert list(logger.track('figures', iter('a'))) == ['a']
  out, err = capfd.readouterr()
  assert out == 'NLL: 0 of 4\nNLL: 2 of 4\nfigures: 0 done\n'
  assert err == ''


@pytest.mark.parametrize(
  ('value', 'expected'),
  [
    *((1, True), (-2.5, True), (0.0, True)),
    *(('-9', False), (None, False), (True, False), ([1.0], False)),
    *((math.inf, False), (math.nan, False), (10**400, False), (1e308, False)),
  ],
  ids=lambda value: str(value)[:20],
)
def test_values_of_a_strangers_file_that_can_be_drawn(value, expected):
  assert logger.is_finite(value) == expected


def test_write_once_skips_damaged_lines(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  path.write_text('a letter\n')
  log = logger.MetricsLogger(path)
  for _ in range(2):
    log.write_once(1, 1, 'test', {'nll': 1.0})
  assert len(logger.read_metrics(path, skip_damaged=True)) == 1
  assert len(path.read_text().splitlines()) == 2


def test_table_columns_are_aligned():
  table = logger.format_table('T', [('a', '1'), ('long', '2')])
  assert table == 'T\n  a     1\n  long  2'
