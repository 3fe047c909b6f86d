"""launch.sh without network: a stub environment replaces .venv."""

import os
import pathlib
import shutil
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).parent.parent
LAUNCH = ROOT / 'launch.sh'


def clean_environment():
  # The environment of the tests may contain settings of launch.sh.
  ours = ('EXTRAS', 'PYTHON', 'PYTHONPATH', 'VENV')
  return {name: x for name, x in os.environ.items() if name not in ours}


def launch(*argv, cwd=ROOT, script=LAUNCH, **env):
  return subprocess.run(
    ['bash', str(script), *argv],
    capture_output=True,
    text=True,
    cwd=cwd,
    env=clean_environment() | env,
    stdin=subprocess.DEVNULL,
  )


@pytest.fixture
def checkout(tmp_path):
  """Returns a folder with launch.sh and a script that prints its arguments."""
  shutil.copy(LAUNCH, tmp_path)
  shutil.copy(ROOT / 'pyproject.toml', tmp_path)
  (tmp_path / 'experiments').mkdir()
  (tmp_path / 'experiments' / '__init__.py').touch()
  (tmp_path / 'experiments' / 'train.py').write_text(
    '"""Train."""\nimport os, sys\nprint(os.getcwd(), sys.argv[1:])\n'
  )
  return tmp_path


@pytest.fixture
def installed(checkout):
  """Returns a checkout whose environment is marked as installed."""
  venv = checkout / '.venv'
  (venv / 'bin').mkdir(parents=True)
  (venv / 'bin' / 'python').symlink_to(sys.executable)
  shutil.copy(checkout / 'pyproject.toml', venv / 'installed.toml')
  (venv / 'installed.extras').write_text('dev\n')
  return checkout


def test_help_lists_every_command():
  for argv in (['help'], ['--help'], []):
    result = launch(*argv)
    assert result.returncode == 0
    for name in ('train', 'evaluate', 'prepare', 'test'):
      assert f'\n  {name} ' in result.stdout


def test_unknown_command_is_an_error():
  for command in ('trian', '../tests/conftest'):
    result = launch(command)
    assert result.returncode == 1
    assert 'unknown command' in result.stderr


def test_command_runs_from_any_folder_with_all_arguments(
  installed, tmp_path_factory
):
  folder = tmp_path_factory.mktemp('else where')
  # A folder of the same name in the current directory is not imported.
  (folder / 'experiments').mkdir()
  (folder / 'experiments' / '__init__.py').write_text('raise SystemExit(9)')
  result = launch(
    'train', '--a=b c', cwd=folder, script=installed / 'launch.sh'
  )
  assert result.returncode == 0, result.stderr
  assert result.stdout == f"{folder} ['--a=b c']\n"
  assert result.stderr == ''


def test_overhead_over_python_is_small(installed):
  def cost(command, *argv):
    started = time.monotonic()
    subprocess.run(
      [*command, *argv],
      cwd=installed,
      capture_output=True,
      env=clean_environment(),
      check=True,
    )
    return time.monotonic() - started

  script = ['bash', str(installed / 'launch.sh'), 'train']
  python = [installed / '.venv/bin/python', '-m', 'experiments.train']
  extra = min(cost(script) for _ in range(5)) - min(
    cost(python) for _ in range(5)
  )
  assert extra < 0.3


@pytest.mark.parametrize(
  'change',
  [
    lambda root: (root / 'pyproject.toml').write_text('[project]\n'),
    lambda root: (root / '.venv' / 'installed.extras').unlink(),
  ],
  ids=['changed pyproject', 'interrupted installation'],
)
def test_change_reinstalls_and_failure_names_the_step(
  installed, change, tmp_path
):
  change(installed)
  stub = tmp_path / 'stub'
  stub.write_text('#!/bin/sh\necho "no space left" >&2\nexit 1\n')
  stub.chmod(0o755)
  python = installed / '.venv' / 'bin' / 'python'
  python.unlink()
  python.symlink_to(stub)
  result = launch('train', script=installed / 'launch.sh', PATH='/usr/bin:/bin')
  assert result.returncode == 1
  assert 'no space left' in result.stderr
  assert f'installing {installed}' in result.stderr


def test_missing_extras_are_added_to_installed_ones(installed, tmp_path):
  stub = tmp_path / 'stub'
  stub.write_text('#!/bin/sh\necho "$@" >> $(dirname $0)/calls\n')
  stub.chmod(0o755)
  python = installed / '.venv' / 'bin' / 'python'
  python.unlink()
  python.symlink_to(stub)
  env = {'EXTRAS': 'cuda', 'PATH': '/usr/bin:/bin'}
  result = launch('train', script=installed / 'launch.sh', **env)
  assert result.returncode == 0, result.stderr
  calls = installed / '.venv/bin/calls'
  calls = calls if calls.exists() else tmp_path / 'calls'
  assert f'--editable {installed}[cuda,dev]' in calls.read_text()
  extras = (installed / '.venv' / 'installed.extras').read_text()
  assert extras.split() == ['cuda', 'dev']


def test_broken_interpreter_is_an_error(checkout, tmp_path):
  shim = tmp_path / 'shim'
  shim.write_text('#!/bin/sh\nexit 127\n')
  shim.chmod(0o755)
  script = checkout / 'launch.sh'
  result = launch('train', script=script, PYTHON=str(shim))
  assert result.returncode == 1
  assert f'PYTHON={shim}: not a working Python >= 3.11' in result.stderr
  assert not (checkout / '.venv').exists()


def test_shellcheck_passes():
  shellcheck = shutil.which(
    'shellcheck', path=f'{pathlib.Path(sys.executable).parent}:{os.defpath}'
  )
  if not shellcheck:
    pytest.skip('shellcheck is not installed')
  result = subprocess.run(
    [shellcheck, str(LAUNCH), str(ROOT / '.ci' / 'run')],
    capture_output=True,
    text=True,
  )
  assert result.returncode == 0, result.stdout
