"""The examples of the docstrings print what they state."""

import ast
import doctest
import importlib
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj

ROOT = pathlib.Path(__file__).parent.parent
MODULES = [
  '.'.join(path.relative_to(ROOT).with_suffix('').parts)
  for path in sorted((ROOT / 'vae_jax').rglob('*.py'))
  if '>>> ' in path.read_text()
]
FOLDERS = sorted({name.split('.')[1] for name in MODULES})
# Names that every example may use without an import.
NAMES = {'jax': jax, 'jnp': jnp, 'np': np, 'vj': vj}


def run(module):
  """Runs the examples of a module; returns (attempted, failures in words)."""
  words = []
  runner = doctest.DocTestRunner(verbose=False)
  for test in doctest.DocTestFinder().find(module, extraglobs=NAMES):
    runner.run(test, out=words.append)
  return runner.summarize(verbose=False).attempted, ''.join(words)


@pytest.mark.quick('errors', 'io', 'objectives')
@pytest.mark.parametrize('folder', FOLDERS)
def test_examples_print_what_they_state(folder):
  for name in MODULES:
    if name.split('.')[1] == folder:
      attempted, failures = run(importlib.import_module(name))
      assert attempted, name
      assert not failures, failures


def test_many_public_functions_have_an_example():
  with_example = {
    node.name
    for name in MODULES
    for node in ast.parse(
      ROOT.joinpath(*name.split('.')).with_suffix('.py').read_text()
    ).body
    if isinstance(node, ast.FunctionDef | ast.ClassDef)
    and '>>> ' in (ast.get_docstring(node) or '')
  }
  assert len(with_example & set(vj.__all__)) >= 25
