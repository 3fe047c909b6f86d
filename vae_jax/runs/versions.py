"""Versions of the code that computes a run."""

import importlib.metadata
import pathlib
import platform
from typing import Any

from vae_jax import __version__
from vae_jax.errors import UserError
from vae_jax.runs import revision

_PACKAGES = (
  *('vae_jax', 'jax', 'jaxlib', 'flax', 'optax', 'numpy'),
  *('tensorflow-datasets', 'matplotlib'),
)
# On these the last digits of the numbers depend.
_NUMERICAL = ('vae_jax', 'jax', 'jaxlib', 'flax', 'optax')
# Keys of config.json that `present` returns.
KEYS = ('git_revision', 'source_digest', 'python_version', 'versions')


def present() -> dict[str, Any]:
  """Returns the versions of the code that computes now."""
  return {
    'git_revision': revision.git_revision(),
    'source_digest': revision.source_digest(),
    'python_version': platform.python_version(),
    'versions': {name: _version(name) for name in _PACKAGES},
  }


def of_record(path: pathlib.Path, content: dict[str, Any]) -> dict[str, str]:
  """Returns the versions in a config.json: name -> version, '' unknown.

  Raises:
    UserError: a damaged record; `path` names it.
  """
  try:
    versions = {
      'revision': content['git_revision'],
      'sources': content.get('source_digest'),
      'python': content['python_version'],
      **content['versions'],
    }
  except (KeyError, TypeError) as error:
    raise UserError(f'{path}: damaged ({error})') from None
  return {name: str(version or '') for name, version in versions.items()}


def warnings(recorded: dict[str, str]) -> list[str]:
  """Returns a line for each version that matters and has changed since."""
  now = {
    'revision': revision.git_revision(),
    'sources': revision.source_digest(),
    'python': platform.python_version(),
  } | {name: _version(name) for name in _NUMERICAL}
  return [
    f'the run started with {name} {old or "unknown"}, this is '
    f'{now[name] or "unknown"}'
    for name, old in recorded.items()
    if name in now
    and old != (now[name] or '')
    # A folder of an older version has no digest of the sources.
    and (old or name != 'sources')
  ]


def _version(name: str) -> str | None:
  if name == 'vae_jax':
    return __version__
  try:
    return importlib.metadata.version(name)
  except importlib.metadata.PackageNotFoundError:
    return None
