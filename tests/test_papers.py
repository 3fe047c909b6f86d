"""Claims of the documents at the top that a program can check."""

import ast
import pathlib
import re

import vae_jax
from tests.sources import each

ROOT = pathlib.Path(__file__).parent.parent
SOURCES = [
  path
  for folder in ('vae_jax', 'experiments', '.ci')
  for path in sorted((ROOT / folder).rglob('*.py'))
]
# Each of them can execute code that a file contains.
UNPICKLERS = {
  *('cloudpickle', 'code', 'dill', 'joblib', 'marshal', 'pickle', 'shelve'),
  'yaml',
}


def executes(tree):
  """Yields the lines that import an unpickler or execute a text."""
  for node in ast.walk(tree):
    names = []
    if isinstance(node, ast.Import):
      names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
      names = [node.module or '']
    if UNPICKLERS & {name.partition('.')[0] for name in names}:
      yield node.lineno
    if isinstance(node, ast.Call):
      is_name = isinstance(node.func, ast.Name)
      if is_name and node.func.id in ('eval', 'exec', 'compile'):
        yield node.lineno
      for keyword in node.keywords:
        allows = ast.unparse(keyword.value) != 'False'
        if keyword.arg == 'allow_pickle' and allows:
          yield node.lineno


@each(SOURCES)
def test_nothing_is_unpickled_or_executed(path):
  assert not list(executes(ast.parse(path.read_text()))), path


def test_the_rule_finds_what_executes():
  for code in (
    'import pickle',
    'from joblib import load',
    'np.load(path, allow_pickle=True)',
    'eval(text)',
  ):
    assert list(executes(ast.parse(code))), code
  assert not list(executes(ast.parse('np.load(x, allow_pickle=False)')))


def test_the_version_is_the_same_everywhere():
  version = vae_jax.__version__
  changes = (ROOT / 'CHANGELOG.md').read_text()
  assert re.search(r'^## (\S+)', changes, re.MULTILINE)[1] == version
  citation = (ROOT / 'CITATION.cff').read_text()
  assert re.search(r'^version: (\S+)$', citation, re.MULTILINE)[1] == version


def test_contributing_is_one_page_and_names_files_that_exist():
  text = (ROOT / 'CONTRIBUTING.md').read_text()
  assert len(text.splitlines()) <= 60
  for name in re.findall(r'`([\w./]+(?:/|\.\w+))`', text):
    below = (ROOT / name, ROOT / 'vae_jax' / name)
    assert 'NAME' in name or any(path.exists() for path in below), name
