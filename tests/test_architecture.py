"""The house stays easy to see: levels, places of imports, sizes."""

import ast
import pathlib
import subprocess
import sys

import vae_jax
from tests.sources import each

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = ROOT / 'vae_jax'

# A folder imports only from folders to its left.
ORDER = [
  'types',
  'errors',
  'distributions',
  'estimators',
  'objectives',
  'models',
  'training',
  'evaluate',
  'ais',
  'data',
  'io',
  'plots',
  'runs',
  'experiments',
]

# Each of these libraries is imported in one named place.
PLACES = {
  'absl': {'runs'},
  'constriction': {'runs'},
  'flax': {'models'},
  'matplotlib': {'plots'},
  'optax': {'training'},
  'sklearn': {'data', 'experiments'},
  'tensorflow': {'data'},
  'tensorflow_datasets': {'data'},
  'torch': {'models'},
  'tqdm': {'io'},
}

SOURCES = sorted(PACKAGE.rglob('*.py')) + sorted(
  (ROOT / 'experiments').rglob('*.py')
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


def folder_of(name):
  parts = name.split('.')
  if name == 'vae_jax.__version__':
    return None
  if parts[0] == 'vae_jax':
    return parts[1]
  return 'experiments' if parts[0] == 'experiments' else None


@each(SOURCES)
def test_imports_point_down(path):
  module = module_of(path)
  if module in ('__init__', '__main__'):
    return
  for name in imports(path):
    target = folder_of(name)
    if target is None or target == module:
      continue
    assert ORDER.index(target) < ORDER.index(module), f'{path}: {name}'
    if module in ('io', 'plots'):
      assert target == 'errors', f'{path}: {name}'


@each(SOURCES)
def test_libraries_are_imported_in_one_place(path):
  if path.parent.name == 'benchmark':  # Programs as other people write them.
    return
  for name in imports(path):
    places = PLACES.get(name.split('.')[0])
    assert places is None or module_of(path) in places, f'{path}: {name}'


def test_importing_the_library_stays_light():
  code = (
    'import sys, vae_jax; '
    "heavy = {'tensorflow_datasets', 'matplotlib', 'sklearn', 'tqdm', 'absl', "
    "'chex', 'jax.extend'}; "
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
    '__main__',
    'errors',
    'types',
  }
  folders = {path.name for path in (ROOT / 'tests').iterdir()}
  assert modules <= folders


def test_public_names_are_sorted_and_there():
  names = vae_jax.__all__
  assert list(names) == sorted(names, key=lambda n: (not n.isupper(), n))
  for name in names:
    assert getattr(vae_jax, name).__doc__


def functions(path):
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.FunctionDef):
      yield node


@each(SOURCES)
def test_modules_and_functions_stay_short(path):
  limit = 60 if path.parent == ROOT / 'experiments' else 300
  assert len(path.read_text().splitlines()) <= limit, path
  for node in functions(path):
    doc = ast.get_docstring(node) or ''
    body = node.end_lineno - node.lineno + 1 - len(doc.splitlines())
    assert body <= 50, f'{path}: {node.name} has {body} lines'


@each(SOURCES)
def test_modules_say_what_they_are(path):
  if path != ROOT / 'experiments' / '__init__.py':
    assert ast.get_docstring(ast.parse(path.read_text())), path


def test_importing_the_objectives_loads_neither_options_nor_flax():
  code = (
    'import sys, vae_jax.objectives; '
    "print([m for m in sys.modules if m.startswith(('flax', 'vae_jax.runs', "
    "'vae_jax.models.networks'))])"
  )
  result = subprocess.run(
    [sys.executable, '-c', code],
    capture_output=True,
    text=True,
    cwd=ROOT,
    check=True,
  )
  assert result.stdout.strip() == '[]'


def test_the_top_of_the_library_is_the_plan_of_the_house():
  entries = {path.name for path in PACKAGE.iterdir()}
  entries -= {'__pycache__', '__main__.py'}
  files = {'__init__.py', 'types.py', 'errors.py'}
  assert entries == {*ORDER, *files} - {'types', 'errors', 'experiments'}
  assert len(entries) == 14


def test_the_library_has_at_most_16000_lines_of_code():
  """Lines that are neither blank, nor comment, nor docstring.

  The library is what a notebook imports: all but `runs`, which is the code of
  the commands.
  """
  count = 0
  paths = set(PACKAGE.rglob('*.py')) - set((PACKAGE / 'runs').rglob('*.py'))
  for path in paths:
    documented = set()
    for node in ast.walk(ast.parse(path.read_text())):
      kinds = ast.Module | ast.ClassDef | ast.FunctionDef
      if isinstance(node, kinds) and ast.get_docstring(node):
        documented.update(
          range(node.body[0].lineno, node.body[0].end_lineno + 1)
        )
    for number, line in enumerate(path.read_text().splitlines(), 1):
      text = line.strip()
      count += bool(text) and text[0] != '#' and number not in documented
  assert count <= 16_000
