import errno
import logging
import os
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from experiments.cells.config import ReproduceConfig
from experiments.faults.config import FaultInjectionConfig
from experiments.lab.config import (
  BenchmarkConfig,
  DemonstrationsConfig,
  GradientVarianceConfig,
)
from vae_jax.errors import UserError
from vae_jax.runs import flags
from vae_jax.runs.config import (
  CompareConfig,
  CompressConfig,
  Config,
  EncodeConfig,
  EvaluateConfig,
  ExportConfig,
  PrepareConfig,
  ReconstructConfig,
  SampleConfig,
  SweepConfig,
)
from vae_jax.runs.config.options import flag_of, option_fields

CONFIGS = (
  BenchmarkConfig,
  CompareConfig,
  CompressConfig,
  Config,
  DemonstrationsConfig,
  EncodeConfig,
  EvaluateConfig,
  ExportConfig,
  FaultInjectionConfig,
  GradientVarianceConfig,
  PrepareConfig,
  ReconstructConfig,
  ReproduceConfig,
  SampleConfig,
  SweepConfig,
)


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


def test_flag_may_have_the_name_of_a_keyword():
  assert parse('--class=3', kind=SampleConfig).class_ == '3'
  with pytest.raises(UserError, match='did you mean --class'):
    parse('--clas=3', kind=SampleConfig)


def test_arguments_without_a_flag_are_folders_where_a_command_takes_them():
  argv = ['compare', 'a,1', 'x=2', '--workdir=x', 'b', '--workdirs=c,d']
  config, names = flags.parse_with_names(CompareConfig, argv, are_paths=True)
  assert (config.workdirs, names) == (('c', 'd'), ['a,1', 'x=2', 'b'])
  for stray in ('workdir=x', 'workdirs=a'):
    with pytest.raises(UserError, match='did you mean'):
      flags.parse_with_names(CompareConfig, ['x', stray], are_paths=True)
  with pytest.raises(UserError, match='expected texts, as a tuple'):
    CompareConfig(workdirs='a,b')


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
      ['--latent_dimz=3'],
      'unknown flag --latent_dimz: did you mean --latent_d',
    ),
    (['--qqq'], '--help lists them all'),
    (['mnist'], "stray argument 'mnist'"),
    (['num_epochs=5'], 'did you mean --num_epochs=5?'),
    (['--batch_size=ten'], '--batch_size: got ten, expected a whole number'),
    (['--batch_size='], "--batch_size: got '', expected a whole number"),
    (['--learning_rate=fast'], '--learning_rate: got fast, expected a number'),
    (['--hidden_sizes=20,x'], '--hidden_sizes: got 20,x, expected whole numb'),
    (['--monitor_gradients=ja'], 'got ja, expected true or false'),
    (['--objective='], "--objective: got '', expected one of elbo, iwae"),
    (['--latent_dim'], 'latent_dim'),
    (['--flagfile=/none'], "^Unable to open flagfile: .*'/none'"),
  ],
)
def test_mistakes_are_one_line(argv, message):
  with pytest.raises(UserError, match=message.replace('?', '.')) as error:
    parse(*argv)
  assert '\n' not in str(error.value)


@pytest.mark.parametrize('name', ['learning_rate', 'beta', 'alpha', 'sigma'])
@pytest.mark.parametrize('value', ['1e308', '1e39', '1e-320', '1e-39'])
def test_number_that_the_device_does_not_hold_is_refused(name, value):
  with pytest.raises(
    UserError, match=f'--{name}: got .*, expected 0 or a size'
  ):
    parse(f'--{name}={value}')


def test_a_binary_or_endless_flagfile_is_one_line(tmp_path):
  (tmp_path / 'bytes').write_bytes(bytes(range(256)) * 4)
  for i in range(1500):
    (tmp_path / f'{i}').write_text(f'--flagfile={tmp_path / str(i + 1)}\n')
  (tmp_path / '1500').write_text('--num_epochs=1\n')
  (tmp_path / 'junk').write_text('\x00\x1b[2J\n--\x07=3\n')
  for name, reason in (
    ('bytes', 'got a file that is not text'),
    ('\x00', 'got a file that is not text'),
    ('0', 'got files nested without end'),
    ('.', 'Is a directory'),
    ('junk', 'unknown flag'),
  ):
    with pytest.raises(UserError, match=reason) as error:
      parse(f'--flagfile={tmp_path / name}')
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('kind', CONFIGS)
def test_help_names_every_flag_in_80_columns(kind, capsys):
  with pytest.raises(SystemExit) as stop:
    flags.parse(kind, ['/x/train.py', '--help'], lambda: 'The end')
  assert stop.value.code == 0
  text = capsys.readouterr().out
  lines = text.splitlines()
  assert lines[0].startswith('Usage: ./launch.sh train [')
  assert max(map(len, lines)) <= 80
  words = ' '.join(text.split())
  for field in option_fields(kind):
    start = f'  --{flag_of(field)}='
    assert len([x for x in lines if x.startswith(start)]) == 1
    assert field.metadata['help'] in words
    assert field.metadata['group'] in lines
    assert field.metadata.get('unit', '') in text
    for choice in field.metadata.get('choices', ()):
      assert choice in text


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


def test_a_stop_at_a_nan_is_one_line_with_its_place(capsys):
  def wrong(argv):
    with jax.debug_nans(True):
      jnp.log(-1.0)

  found, printed = exit_of(wrong, capsys)
  assert found == 2
  assert printed.count('\n') == 1
  assert printed.startswith('error: vae_jax/runs/flags.py:')
  assert 'invalid value (nan) encountered in log' in printed
  assert 'Unset JAX_DEBUG_NANS' in printed


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


@pytest.mark.slow
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


@pytest.mark.slow
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
