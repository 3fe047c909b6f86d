"""launch.sh without network: a stub environment replaces .venv."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import pytest

ROOT = pathlib.Path(__file__).parent.parent
LAUNCH = ROOT / 'launch.sh'


def clean_environment():
  # The environment of the tests may contain settings of launch.sh.
  ours = ('CONSTRAINTS', 'EXTRAS', 'LATEST', 'PYTHON', 'PYTHONPATH', 'VENV')
  return {name: x for name, x in os.environ.items() if name not in ours}


def launch(*argv, cwd=ROOT, script=LAUNCH, user=None, **env):
  return subprocess.run(
    ['bash', str(script), *argv],
    capture_output=True,
    text=True,
    cwd=cwd,
    env=clean_environment() | env,
    stdin=subprocess.DEVNULL,
    start_new_session=True,
    user=user,
  )


# Makes an environment in which it stands for the interpreter; a signal in
# SIGNAL_AT_VENV or SIGNAL_AT_PIP ends that step and its process group.
STUB = """#!/bin/sh
case "$*" in
  --version) echo Python 3.12 ;;
  '-m venv '*)
    mkdir -p "$3/bin"
    [ -z "$SIGNAL_AT_VENV" ] || kill -s "$SIGNAL_AT_VENV" 0
    touch "$3/pyvenv.cfg"
    cp "$0" "$3/bin/python" ;;
  '-m pip install '*)
    [ -z "$SIGNAL_AT_PIP" ] || kill -s "$SIGNAL_AT_PIP" 0
    echo "$*" >> "$(dirname "$0")/calls"
    touch "$(dirname "$0")/installed" ;;
  '-P -m experiments.train'*)
    [ -e "$(dirname "$0")/installed" ] && echo trained ;;
esac
"""


@pytest.fixture
def stub(checkout):
  """Returns the settings under which the stub is the only interpreter."""
  path = checkout / 'stub-python'
  path.write_text(STUB)
  path.chmod(0o755)
  return {'PYTHON': str(path), 'PATH': '/usr/bin:/bin'}


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
  (venv / 'installed.extras').write_text('dev\nexperiments\n')
  return checkout


def test_help_lists_every_command():
  for argv in (['help'], ['--help']):
    result = launch(*argv)
    assert result.returncode == 0
    for name in ('train', 'evaluate', 'prepare', 'test', 'docs'):
      assert f'\n  {name} ' in result.stdout


def test_no_argument_shows_the_first_steps_that_exist(checkout):
  result = launch(script=checkout / 'launch.sh')
  assert result.returncode == 0
  steps, rest = result.stdout.split('\n\n')[1:]
  assert [line.split()[0] for line in steps.splitlines()[1:]] == [
    'train',
    'test',
  ]
  assert '  Train.\n' in steps
  assert './launch.sh help lists all commands' in rest


def test_docs_builds_the_site_strictly(installed):
  (installed / '.venv' / 'installed.extras').write_text('dev\ndocs\n')
  python = installed / '.venv' / 'bin' / 'python'
  python.unlink()
  python.write_text('#!/bin/sh\necho "$@"\n')
  python.chmod(0o755)
  result = launch('docs', '--dirty', script=installed / 'launch.sh')
  assert result.returncode == 0, result.stderr
  assert result.stdout == (
    f'-P -m mkdocs build --strict --config-file {installed}/docs/mkdocs.yml '
    '--dirty\n'
  )


def test_unknown_command_is_an_error():
  for command in ('trian', '../tests/conftest'):
    result = launch(command)
    assert result.returncode == 2
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


def test_ctrl_c_while_python_starts_is_one_line(installed):
  shutil.copy(ROOT / 'experiments' / '__init__.py', installed / 'experiments')
  python = installed / '.venv' / 'bin' / 'python'
  python.unlink()
  # Python has no handler yet.
  python.write_text(f'#!/bin/sh\nkill -s INT $$\nexec {sys.executable} "$@"\n')
  python.chmod(0o755)
  if subprocess.run(['env', '--block-signal=INT', 'true']).returncode:
    pytest.skip('env cannot block a signal')
  result = launch('train', script=installed / 'launch.sh')
  assert (result.returncode, result.stdout) == (130, '')
  assert result.stderr == 'stopped by SIGINT\n'


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
  assert f'--editable {installed}[cuda,dev,experiments]' in calls.read_text()
  extras = (installed / '.venv' / 'installed.extras').read_text()
  assert extras.split() == ['cuda', 'dev', 'experiments']


def test_versions_are_those_of_the_constraints_unless_latest(checkout, stub):
  (checkout / 'constraints.txt').write_text('jax==0.10.2\n')
  (checkout / 'other.txt').write_text('jax==0.10.0\n')
  calls = checkout / '.venv' / 'bin' / 'calls'

  def installed(**env):
    """Returns the last arguments of pip, '' if it is not called."""
    calls.unlink(missing_ok=True)
    result = launch(
      'train', cwd=checkout, script=checkout / 'launch.sh', **stub | env
    )
    assert result.stdout == 'trained\n', result.stderr
    return calls.read_text() if calls.exists() else ''

  assert f' --constraint {checkout}/constraints.txt ' in installed()
  assert installed() == ''
  (checkout / 'constraints.txt').write_text('jax==0.10.1\n')
  assert '--constraint' in installed()
  newest = installed(LATEST='1')
  assert '--upgrade ' in newest
  assert '--constraint' not in newest
  # A command without the setting leaves them as they are.
  assert installed() == installed(LATEST='1') == ''
  assert ' --constraint other.txt ' in installed(CONSTRAINTS='other.txt')
  result = launch('train', script=checkout / 'launch.sh', CONSTRAINTS='none')
  assert result.returncode == 2
  [line] = result.stderr.splitlines()
  assert 'CONSTRAINTS: got none, expected a file of versions' in line


def test_broken_interpreter_is_an_error(checkout, tmp_path):
  shim = tmp_path / 'shim'
  shim.write_text('#!/bin/sh\nexit 127\n')
  shim.chmod(0o755)
  script = checkout / 'launch.sh'
  result = launch('train', script=script, PYTHON=str(shim))
  assert result.returncode == 1
  assert f'PYTHON={shim}: not a working Python >= 3.11' in result.stderr
  assert not (checkout / '.venv').exists()


def contents(folder):
  return {
    path: path.read_bytes() if path.is_file() else None
    for path in [folder, *folder.rglob('*')]
  }


FOREIGN = {
  'notes': ['notes.txt'],
  'hidden file': ['.netrc'],
  'project': ['src/main.py', 'bin/tool'],
  'system': ['bin/python', 'bin/ls', 'lib/libc.so'],
  'project that is an environment': ['pyvenv.cfg', 'bin/pip', 'thesis.tex'],
  'environment of another tool': [
    'pyvenv.cfg',
    'lib/python3.12/site-packages/torch-2.0.dist-info/METADATA',
  ],
  'environment of launch.sh and a file': [
    'pyvenv.cfg',
    'installed.extras',
    'thesis.tex',
  ],
}


@pytest.mark.parametrize('files', FOREIGN.values(), ids=FOREIGN)
def test_a_folder_with_other_files_is_refused(files, checkout, stub):
  folder = checkout / 'folder'
  for name in files:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text('mine')
  before = contents(folder)
  script = checkout / 'launch.sh'
  for venv in ('folder', 'folder/'):
    result = launch('train', cwd=checkout, script=script, VENV=venv, **stub)
    assert result.returncode == 2
    [line] = result.stderr.splitlines()
    assert f'got {folder}, which holds other files' in line
    assert contents(folder) == before
  result = launch('train', script=script, VENV=str(folder / files[0]), **stub)
  assert result.returncode == 2
  assert contents(folder) == before


@pytest.mark.parametrize('venv', ['new/below/new', 'empty', 'empty/', 'link'])
def test_a_new_or_empty_folder_becomes_an_environment(venv, checkout, stub):
  (checkout / 'empty').mkdir()
  (checkout / 'link').symlink_to('empty')
  argv = {'cwd': checkout, 'script': checkout / 'launch.sh', 'VENV': venv}
  for _ in range(2):
    result = launch('train', **argv, **stub)
    assert result.stdout == 'trained\n', result.stderr
  assert result.stderr == ''
  assert (checkout / venv / 'installed.toml').is_file()
  assert not (checkout / venv / 'unfinished').exists()


@pytest.mark.parametrize('number', ['INT', 'TERM', 'KILL'])
@pytest.mark.parametrize('step', ['VENV', 'PIP'])
def test_an_interrupted_installation_is_repeated(step, number, checkout, stub):
  script = checkout / 'launch.sh'
  result = launch(
    'train', script=script, **{f'SIGNAL_AT_{step}': number}, **stub
  )
  assert result.returncode
  assert result.stdout == ''
  (checkout / '.venv' / 'bin' / 'half').touch()
  result = launch('train', script=script, **stub)
  assert result.stdout == 'trained\n', result.stderr
  assert not (checkout / '.venv' / 'bin' / 'half').exists()


@pytest.mark.parametrize('has_config', [True, False])
def test_an_environment_without_pip_is_built_anew(has_config, checkout, stub):
  """As releases without the mark left it after SIGINT."""
  python = checkout / '.venv' / 'bin' / 'python'
  python.parent.mkdir(parents=True)
  python.write_text('#!/bin/sh\necho "No module named pip" >&2\nexit 1\n')
  python.chmod(0o755)
  if has_config:
    (checkout / '.venv' / 'pyvenv.cfg').touch()
  result = launch('train', script=checkout / 'launch.sh', **stub)
  assert result.stdout == 'trained\n', result.stderr


def test_links_and_cdpath_lead_to_the_checkout(installed, tmp_path_factory):
  elsewhere = tmp_path_factory.mktemp('elsewhere')
  (elsewhere / 'folder').symlink_to(installed)
  (elsewhere / 'bin').mkdir()
  (elsewhere / 'bin' / 'vae').symlink_to('../folder/launch.sh')
  (elsewhere / 'again').symlink_to(elsewhere / 'bin' / 'vae')
  (elsewhere / installed.name).mkdir()
  for cwd, script in (
    (elsewhere, 'again'),
    (elsewhere / 'bin', 'vae'),
    (installed.parent, f'{installed.name}/launch.sh'),
  ):
    result = launch(
      'train',
      cwd=cwd,
      script=script,
      CDPATH=f'{installed.parent}:{elsewhere}:.',
    )
    assert result.stdout == f'{cwd} []\n', result.stderr
    assert result.stderr == ''


@pytest.fixture
def readable():
  """Returns a folder that every user can enter."""
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder)
    path.chmod(0o755)
    yield path
    for each in path.rglob('*'):
      each.chmod(0o755)


def test_another_user_runs_what_is_installed(readable, installed, stub):
  shutil.copytree(installed, readable / 'a', symlinks=True)
  root = readable / 'a'
  python = root / '.venv' / 'bin' / 'python'
  python.unlink()
  shutil.copy(stub['PYTHON'], python)
  (root / '.venv' / 'bin' / 'installed').touch()
  (root / '.venv.lock').touch(mode=0o600)
  for path in (root / '.venv', root):
    path.chmod(0o555)
  # The permissions of files do not hold for root.
  user = 65534 if os.geteuid() == 0 else None
  call = lambda *argv, **env: launch(
    *argv, cwd='/', script=root / 'launch.sh', user=user, **stub | env
  )
  result = call('train')
  assert (result.stdout, result.stderr) == ('trained\n', '')
  (root / 'pyproject.toml').write_text('[project]\n')
  result = call('train')
  assert result.stdout == 'trained\n'
  [line] = result.stderr.splitlines()
  assert 'VENV=... makes one of your own' in line
  for env in ({'EXTRAS': 'cuda'}, {'VENV': str(root / 'new')}):
    result = call('train', **env)
    assert (result.returncode, result.stdout) == (2, '')
    [line] = result.stderr.splitlines()
    assert 'Name a folder of your own with VENV=' in line
  result = call('train', VENV=str(readable / 'b'))
  assert result.returncode == 2


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
