"""`python -m vae_jax`, and the library without the extras' libraries."""

import os
import pathlib
import subprocess
import sys
import tomllib

import pytest

from vae_jax import __main__ as entry
from vae_jax.runs import commands

ROOT = pathlib.Path(__file__).parent.parent
# jax itself needs SciPy.
ALLOWED = {'scipy'}
NAMES = {
  'array_record': 'array_record',
  'flatbuffers': 'flatbuffers',
  'grain': 'grain',
  'matplotlib': 'matplotlib',
  'pillow': 'PIL',
  'safetensors': 'safetensors',
  'scikit-learn': 'sklearn',
  'tensorflow-datasets': 'tensorflow_datasets',
  'tqdm': 'tqdm',
}


def requirements(extra):
  project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
  listed = project['optional-dependencies'].get(extra, project['dependencies'])
  return {line.partition('>=')[0] for line in listed}


def run(*argv, cwd):
  return subprocess.run(
    [sys.executable, *argv],
    capture_output=True,
    text=True,
    cwd=cwd,
    env=os.environ | {'PYTHONPATH': str(ROOT)},
  )


def call(monkeypatch, *argv):
  """Calls `main` in this process and returns its exit code."""
  monkeypatch.setattr(sys, 'argv', ['vae_jax', *argv])
  try:
    entry.main()
  except SystemExit as stop:
    return stop.code
  return 0


@pytest.mark.parametrize('argv', [(), ('help',), ('--help',)])
def test_help_lists_every_command(argv, monkeypatch, capsys):
  assert call(monkeypatch, *argv) == 0
  printed = capsys.readouterr().out
  for path in (ROOT / 'experiments').glob('[a-z]*.py'):
    title = path.read_text().splitlines()[0].strip('"')
    assert f'\n  {path.stem:<20} {title}\n' in printed


@pytest.mark.parametrize('name', ['trian', '../tests/conftest', '__init__'])
def test_unknown_command_is_one_line(name, monkeypatch, capsys):
  assert call(monkeypatch, name) == 2
  [line] = capsys.readouterr().err.splitlines()
  assert f'unknown command {name!r}' in line


def test_a_command_runs_from_any_folder(tmp_path):
  # A package of the same name in the current folder is not imported.
  (tmp_path / 'experiments').mkdir()
  (tmp_path / 'experiments' / '__init__.py').write_text('raise SystemExit(9)')
  flagfile = '--flagfile=experiments/flagfiles/mnist_conv.flags'
  result = run('-m', 'vae_jax', 'train', flagfile, '--qqq=1', cwd=tmp_path)
  assert result.returncode == 2
  [line] = result.stderr.splitlines()
  # The file and the one that it names were found.
  assert 'unknown flag --qqq' in line


def test_flagfiles_travel_with_the_commands(inside):
  name = 'experiments/flagfiles/mnist_fast.flags'
  assert pathlib.Path(commands.find(name)).samefile(ROOT / name)
  assert commands.find('missing.flags') == 'missing.flags'
  # A file of the user is preferred.
  (inside / name).parent.mkdir(parents=True)
  (inside / name).touch()
  assert commands.find(name) == name


def test_the_core_has_six_requirements_and_the_table_has_every_other():
  assert requirements('core') == {
    *('absl-py', 'chex', 'flax', 'jax', 'numpy', 'optax')
  }
  assert requirements('experiments') == {*NAMES, *ALLOWED}


THIN = """
import importlib, sys

REFUSED = set({refused})

class Refuse:
  def find_spec(self, name, path=None, target=None):
    if name.partition('.')[0] in REFUSED:
      raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)

sys.meta_path.insert(0, Refuse())
import vae_jax as vj
from vae_jax import __main__ as entry

for name in {modules}:
  importlib.import_module(name)
vj.make_vae(data_shape=(8, 8))
try:
  vj.load_run('nowhere')
except vj.UserError as error:
  assert 'nowhere' in str(error), error
sys.argv = ['vae_jax', 'train']
entry.main()
"""


def test_only_commands_need_the_libraries_of_the_extras(tmp_path):
  """Importing and loading need none; a command says which extra is missing."""
  package = ROOT / 'vae_jax'
  modules = [
    '.'.join(path.relative_to(ROOT).with_suffix('').parts)
    for path in sorted(package.rglob('*.py'))
    if path.relative_to(package).parts[0]
    not in ('__main__.py', 'data', 'io', 'plots', 'runs')
  ]
  refused = [*NAMES.values(), 'mpmath', 'numpyro', 'tensorflow', 'torch']
  code = THIN.format(refused=refused, modules=modules)
  result = run('-P', '-c', code, cwd=tmp_path)
  assert result.returncode == 2, result.stderr
  [line] = result.stderr.splitlines()
  assert line == (
    'error: matplotlib: got no such library, expected it to be installed. Run '
    "pip install 'vae_jax[experiments]'"
  )
