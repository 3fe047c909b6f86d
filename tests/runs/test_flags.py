import errno
import logging
import os
import signal
import subprocess
import sys

import pytest

from vae_jax.errors import UserError
from vae_jax.runs import flags
from vae_jax.runs.config import Config, EvaluateConfig
from vae_jax.runs.config.options import option_fields


def parse(*argv, kind=Config):
  return flags.parse(kind, ['train', *argv])


def test_every_flag_sets_its_option():
  config = parse(
    '--dataset=mnist',
    '--hidden_sizes=300,20',
    '--learning_rate=0.5',
    '--num_epochs=7',
    '--seed',
    '3',
  )
  assert config == Config(
    dataset='mnist',
    hidden_sizes=(300, 20),
    learning_rate=0.5,
    num_epochs=7,
    seed=3,
  )
  assert parse() == Config()


@pytest.mark.parametrize(
  ('argument', 'value'),
  [
    ('--monitor_gradients', True),
    ('--monitor_gradients=true', True),
    ('--nomonitor_gradients', False),
    ('--monitor_gradients=false', False),
  ],
)
def test_a_boolean_flag_needs_no_value(argument, value):
  assert parse(argument).run.monitor_gradients is value


def test_an_empty_list_means_no_hidden_layers():
  assert parse('--hidden_sizes=') == Config(hidden_sizes=())


def test_flags_may_come_from_a_file(tmp_path):
  path = tmp_path / 'flags.txt'
  path.write_text('--latent_dim=3\n--beta=0.5\n')
  assert parse(f'--flagfile={path}') == Config(latent_dim=3, beta=0.5)


@pytest.mark.parametrize(
  ('argv', 'message'),
  [
    (
      ['--latent_dims=3'],
      'unknown flag --latent_dims: did you mean --latent_d',
    ),
    (['--lr=1'], 'unknown flag --lr'),
    (['--qqq'], '--help lists them all'),
    (['mnist'], "stray argument 'mnist'"),
    (['--batch_size=ten'], 'batch_size'),
    (['--learning_rate=fast'], 'learning_rate'),
    (['--hidden_sizes=20,x'], 'hidden_sizes.*whole numbers'),
    (['--latent_dim'], 'latent_dim'),
    (['--flagfile=/none'], 'none'),
  ],
)
def test_mistakes_are_one_line(argv, message):
  with pytest.raises(UserError, match=message) as error:
    parse(*argv)
  assert '\n' not in str(error.value)


@pytest.mark.parametrize('kind', [Config, EvaluateConfig])
def test_help_has_one_line_per_flag_in_groups(kind, capsys):
  with pytest.raises(SystemExit) as stop:
    parse('--help', kind=kind)
  assert stop.value.code == 0
  lines = capsys.readouterr().out.splitlines()
  for field in option_fields(kind):
    [line] = [x for x in lines if x.startswith(f'  --{field.name}=')]
    assert field.metadata['help'] in line
    assert field.metadata['group'] in lines
    assert field.metadata.get('unit', '') in line
  assert any('hidden_sizes=200,200' in x for x in lines) or kind != Config


def exit_of(main, capsys):
  """Returns the exit code and the line that `flags.run` ends with."""
  with pytest.raises(SystemExit) as stop:
    flags.run(main)
  return stop.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
  ('error', 'code', 'line'),
  [
    (UserError('what and where'), 2, 'error: what and where'),
    (UserError('a\x1b[2J\nb\u202e'), 2, r'error: a\x1b[2J\nb\u202e'),
    (
      OSError(errno.ENOSPC, 'No space left on device', '/full'),
      2,
      'error: /full: No space left on device',
    ),
    (MemoryError(), 2, 'error: out of memory: make the model'),
    (
      RuntimeError('RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes'),
      2,
      'error: out of memory: make the model',
    ),
  ],
)
def test_errors_print_one_line_and_exit_with_2(error, code, line, capsys):
  def wrong(argv):
    raise error

  found, printed = exit_of(wrong, capsys)
  assert found == code
  assert printed.startswith(line)
  assert printed.count('\n') == 1


SIGNALLED = """
import os, signal
import jax
from vae_jax.runs import flags
def main(argv):
  print('begun')
  x = jax.jit(lambda n: jax.lax.fori_loop(0, n, lambda i, x: x + 1.0, 0.0))
  found = x(10**8)  # Still computing when the signal is there.
  os.kill(os.getpid(), signal.SIGINT)
  found.block_until_ready()
flags.run(main)
"""


def test_a_signal_prints_one_line_and_has_its_exit_code():
  result = subprocess.run(
    [sys.executable, '-c', SIGNALLED], capture_output=True, text=True
  )
  assert result.returncode == 130
  assert result.stdout == 'begun\n'
  assert result.stderr == 'stopped by SIGINT\n'


def test_exception_that_a_library_makes_of_a_stop_is_a_stop(monkeypatch):
  def main(argv):
    try:
      os.kill(os.getpid(), signal.SIGTERM)
    except BaseException:
      raise RuntimeError('wrapped') from None

  class Ended(BaseException):
    pass

  def end(code):
    raise Ended(code)

  monkeypatch.setattr(os, '_exit', end)
  with pytest.raises(Ended, match='143'):
    flags.run(main)


def test_refused_output_is_named(capsys):
  def full(argv):
    raise OSError(errno.ENOSPC, 'No space left on device')

  found, printed = exit_of(full, capsys)
  assert found == 2
  assert printed == 'error: standard output: No space left on device\n'


def test_names_in_a_forged_file_cannot_steer_the_terminal(capsys):
  def main(argv):
    print('dataset \x1b[2Jx')
    logging.getLogger('vae_jax').warning('skipping \x1b[2Jx')
    raise UserError('bad \x1b[2Jx')

  with pytest.raises(SystemExit):
    flags.run(main)
  printed = capsys.readouterr()
  assert printed.out == 'dataset \\x1b[2Jx\n'
  assert 'error: bad \\x1b[2Jx\n' in printed.err
  assert '\x1b' not in printed.err


def test_a_defect_keeps_its_traceback():
  def wrong(argv):
    raise RuntimeError('a defect')

  with pytest.raises(RuntimeError, match='a defect'):
    flags.run(wrong)


def test_a_closed_pipe_ends_the_command_silently():
  code = """
from vae_jax.runs import flags
def main(argv):
  for i in range(100_000):
    print(i)
flags.run(main)
"""
  command = [sys.executable, '-c', code]
  with subprocess.Popen(
    command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
  ) as process:
    assert process.stdout.readline() == '0\n'
    process.stdout.close()
    assert process.stderr.read() == ''
  assert process.returncode == 141


def test_help_ends_with_the_epilogue(capsys):
  with pytest.raises(SystemExit):
    flags.parse(Config, ['train', '--help'], lambda: 'the last lines')
  assert capsys.readouterr().out.endswith('\n\nthe last lines\n')
