"""Scripts of the commands: where they are, and what they say they do."""

import ast
import os
import pathlib

_PACKAGE = pathlib.Path(__file__).parents[1]


def root() -> pathlib.Path:
  """Returns the folder that contains the package `experiments`.

  It is inside the library in an installed wheel, and beside it in a clone.
  """
  inside = _PACKAGE / 'commands'
  return inside if inside.is_dir() else _PACKAGE.parent


def titles() -> dict[str, str]:
  """Returns the first line of each command's description, by name."""
  return {
    path.stem: _title(path)
    for path in sorted((root() / 'experiments').glob('[a-z]*.py'))
  }


def _title(path: pathlib.Path) -> str:
  text = ast.get_docstring(ast.parse(path.read_text(encoding='utf-8'))) or ''
  return text.partition('\n')[0]


def find(name: str) -> str:
  """Returns a path as it is, or below `root` if only that file exists.

  Args:
    name: path, such as experiments/flagfiles/mnist_fast.flags.
  """
  travels = root() / name
  if not os.path.exists(name) and travels.is_file():
    return os.fspath(travels)
  return name
