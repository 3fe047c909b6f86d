"""The house stays easy to see: levels, places of imports, sizes."""

import ast
import pathlib
import subprocess
import sys

import pytest

import vae_jax

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = ROOT / 'vae_jax'

# A module may import only from lower levels; a package counts as one module.
LEVELS = {
  'types': 0,
  'errors': 0,
  'signals': 0,
  'files': 1,
  'lock': 2,
  'compatibility': 0,
  'options': 1,
  'distributions': 1,
  'networks': 1,
  'config': 2,
  'estimators': 2,
  'latents': 2,
  'flags': 3,
  'optimizer': 3,
  'likelihoods': 3,
  'linear_gaussian': 3,
  'model': 4,
  'objectives': 5,
  'train_step': 6,
  'epoch': 7,
  'memory': 5,
  'evaluate': 6,
  'data': 6,
  'checkpoint': 6,
  'workdir': 6,
  'logger': 6,
  'page': 6,
  'plots': 6,
  'devices': 6,
  'ais': 7,
  'figures': 7,
  'lab': 7,
  'outcome': 8,
  'report': 8,
  'run': 8,
  'evaluation': 9,
  'loop': 10,
  'benchmark': 9,
  'faults': 10,
  'experiments': 11,
}

# Each of these libraries is met in one named place.
PLACES = {
  'absl': {'flags'},
  'flax': {'networks'},
  'matplotlib': {'plots'},
  'optax': {'optimizer'},
  'sklearn': {'data'},
  'tensorflow': {'data'},
  'tensorflow_datasets': {'data'},
  'tqdm': {'logger'},
}

SOURCES = sorted(PACKAGE.rglob('*.py')) + sorted(
  (ROOT / 'experiments').glob('*.py')
)


def module_of(path):
  parts = path.relative_to(ROOT).parts
  if parts[0] == 'experiments':
    return 'experiments'
  return parts[1].removesuffix('.py')


def imports(path):
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, f'{path}: relative import'
      yield from (f'{node.module}.{alias.name}' for alias in node.names)


def ids(path):
  return str(path.relative_to(ROOT))


@pytest.mark.parametrize('path', SOURCES, ids=ids)
def test_imports_point_down(path):
  module = module_of(path)
  if module == '__init__':
    return
  for name in imports(path):
    parts = name.split('.')
    if parts[0] != 'vae_jax' or parts[1] == module:
      continue
    assert LEVELS[parts[1]] < LEVELS[module], f'{module} imports {name}'


@pytest.mark.parametrize('path', SOURCES, ids=ids)
def test_libraries_are_met_in_one_place(path):
  for name in imports(path):
    places = PLACES.get(name.split('.')[0])
    assert places is None or module_of(path) in places, f'{path}: {name}'


def test_importing_the_library_stays_light():
  code = (
    'import sys, vae_jax; '
    "heavy = {'tensorflow_datasets', 'matplotlib', 'sklearn', 'tqdm', 'absl'}; "
    'print(sorted(heavy & set(sys.modules) - before))'
  )
  # jax and flax may bring absl themselves.
  code = 'import sys, jax, flax, optax; before = set(sys.modules); ' + code
  result = subprocess.run(
    [sys.executable, '-c', code],
    capture_output=True,
    text=True,
    cwd=ROOT,
    check=True,
  )
  assert result.stdout.strip() == '[]'


def test_every_module_has_its_tests():
  modules = {module_of(path) for path in SOURCES} - {
    '__init__',
    'errors',
    'types',
  }
  tests = {path.stem for path in (ROOT / 'tests').glob('test_*.py')}
  folders = {path.parent.name for path in (ROOT / 'tests').glob('*/test_*.py')}
  missing = {
    m for m in modules if f'test_{m}' not in tests and m not in folders
  }
  assert not missing


def test_public_names_are_sorted_and_there():
  names = vae_jax.__all__
  assert list(names) == sorted(names, key=lambda n: (not n.isupper(), n))
  for name in names:
    assert getattr(vae_jax, name).__doc__


def functions(path):
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.FunctionDef):
      yield node


@pytest.mark.parametrize('path', SOURCES, ids=ids)
def test_modules_and_functions_stay_short(path):
  limit = 60 if module_of(path) == 'experiments' else 300
  assert len(path.read_text().splitlines()) <= limit
  for node in functions(path):
    doc = ast.get_docstring(node) or ''
    body = node.end_lineno - node.lineno + 1 - len(doc.splitlines())
    assert body <= 50, f'{path}: {node.name} has {body} lines'


@pytest.mark.parametrize('path', SOURCES, ids=ids)
def test_modules_say_what_they_are(path):
  if path != ROOT / 'experiments' / '__init__.py':
    assert ast.get_docstring(ast.parse(path.read_text()))
