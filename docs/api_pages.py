"""A hook of mkdocs that writes one page per folder of the library.

The page lists the public names of the folder, each from the docstring where it
is defined: a function may bear the name of its module.
"""

import ast
import functools
import pathlib
from collections.abc import Iterator
from typing import Any

PACKAGE = pathlib.Path(__file__).parent.parent / 'vae_jax'
FOLDERS = (
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
)
# Public as `vj.NAME`, but loaded only when it is used.
LAZY = {
  'models': {
    'from_torch': 'vae_jax.models.torch',
    'make_vae': 'vae_jax.models.make',
  }
}


def on_files(files: Any, config: Any) -> Any:
  """Adds the pages `api/FOLDER.md`, without a file on disk."""
  from mkdocs.structure.files import File

  for folder in FOLDERS:
    files.append(
      File.generated(config, f'api/{folder}.md', content=page(folder))
    )
  return files


def page(folder: str) -> str:
  """Returns the Markdown of the page of a folder."""
  title = ast.get_docstring(_read(f'vae_jax.{folder}')) or ''
  head = f'# `vae_jax.{folder}`\n\n{title}\n'
  return head + ''.join(
    f'\n::: {module}.{name}\n    options:\n      heading: "{name}"\n'
    for name, module in public(folder)
  )


def public(folder: str) -> Iterator[tuple[str, str]]:
  """Yields (name, module) of the public classes and functions of a folder."""
  root = f'vae_jax.{folder}'
  names = _public_names(_read(root))
  if names:
    lazy = LAZY.get(folder, {})
    where = {name: _origin(root, name) for name in names} | lazy
    yield from (
      (name, module) for name, module in sorted(where.items()) if module
    )
    return
  for path in sorted((PACKAGE / folder).rglob('[a-z]*.py')):
    module = '.'.join(path.relative_to(PACKAGE.parent).with_suffix('').parts)
    for name in sorted(_defined(_read(module))):
      if not name.startswith('_'):
        yield name, module


def _origin(module: str, name: str) -> str:
  """Returns the module that defines a class or function; '' if none does."""
  tree = _read(module)
  if name in _defined(tree):
    return module
  for node in ast.walk(tree):
    if isinstance(node, ast.ImportFrom) and node.module:
      for alias in node.names:
        if name == (alias.asname or alias.name):
          ours = node.module.startswith('vae_jax')
          return _origin(node.module, alias.name) if ours else ''
  return ''


def _public_names(tree: ast.Module) -> list[str]:
  for node in tree.body:
    if (
      isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == '__all__'
    ):
      return list(ast.literal_eval(node.value))
  return []


def _defined(tree: ast.Module) -> set[str]:
  kinds = ast.ClassDef | ast.FunctionDef
  return {node.name for node in tree.body if isinstance(node, kinds)}


@functools.cache
def _read(module: str) -> ast.Module:
  path = PACKAGE.parent.joinpath(*module.split('.'))
  file = path / '__init__.py' if path.is_dir() else path.with_suffix('.py')
  return ast.parse(file.read_text())
