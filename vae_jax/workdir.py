"""The folder of a run and the record of how it was made."""

import dataclasses
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
import tempfile
from typing import Any

from vae_jax.config import Config
from vae_jax.errors import UserError

CONFIG, METRICS = 'config.json', 'metrics.jsonl'
CHECKPOINTS, FIGURES, PAGE = 'checkpoints', 'figures', 'report.html'

_PACKAGES = (
  *('vae_jax', 'jax', 'jaxlib', 'flax', 'optax', 'numpy'),
  *('tensorflow-datasets', 'matplotlib'),
)
# Where a run lies and what it reports does not change what it computes.
_FREE = (
  *('data_dir', 'monitor_gradients', 'nll_num_samples', 'platform'),
  'workdir',
)


def default(dataset: str) -> str:
  """Returns runs/<dataset>; a file's run is named by its stem."""
  name = pathlib.Path(dataset).stem if dataset.endswith('.npz') else dataset
  return os.path.join('runs', name.replace('/', '_'))


def find(path: str, root: str = 'runs') -> pathlib.Path:
  """Returns the folder of a run; '' is the one in `root` written to last.

  Raises:
    UserError: there is no run.
  """
  if path:
    return pathlib.Path(path).expanduser()
  runs = [path.parent for path in pathlib.Path(root).glob(f'*/{METRICS}')]
  if not runs:
    raise UserError(
      f'no run in {pathlib.Path(root).absolute()}: train one, or name it with '
      '--workdir'
    )
  return max(runs, key=lambda run: (run / METRICS).stat().st_mtime)


def create(path: str) -> pathlib.Path:
  """Makes the folder if it is missing and shows that it can be written to.

  Raises:
    UserError: `path` is a file, or cannot be made or written to.
  """
  folder = pathlib.Path(path).expanduser()
  if folder.exists() and not folder.is_dir():
    raise UserError(f'--workdir={path}: is a file, must be a folder')
  try:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
      pass
  except OSError as error:
    raise UserError(
      f'--workdir={path}: cannot be written to ({error.strerror})'
    ) from None
  return folder


def write_config(folder: pathlib.Path, config: Config) -> None:
  """Writes config.json: every option, package versions, git revision."""
  record = dataclasses.asdict(config) | {
    'git_revision': _git_revision(),
    'python_version': platform.python_version(),
    'versions': {name: _version(name) for name in _PACKAGES},
  }
  write_text(folder / CONFIG, json.dumps(record, indent=2) + '\n')


def write_text(path: pathlib.Path, text: str) -> None:
  """Writes a file that is there whole or not at all."""
  temporary = path.with_name(f'.{path.name}.tmp')
  temporary.write_text(text, encoding='utf-8')
  os.replace(temporary, path)


def read_versions(folder: pathlib.Path) -> dict[str, str]:
  """Returns what a run was made with: name -> version; '' for unknown."""
  record = json.loads((folder / CONFIG).read_text())
  versions = {
    'revision': record['git_revision'],
    'python': record['python_version'],
    **record['versions'],
  }
  return {name: version or '' for name, version in versions.items()}


def read_config(folder: pathlib.Path, *, data_dir: str = '') -> Config:
  """Reads the options that a run was made with.

  Args:
    folder: of the run.
    data_dir: where the data lies now; '' for where it lay then.

  Raises:
    UserError: no run there, or a damaged record.
  """
  path = folder / CONFIG
  if not path.is_file():
    raise UserError(
      f'{folder}: holds no run (no {CONFIG}): train one there, or name '
      'another with --workdir'
    )
  try:
    record: dict[str, Any] = json.loads(path.read_text())
    options = {
      field.name: record[field.name] for field in dataclasses.fields(Config)
    }
    options['data_dir'] = data_dir or options['data_dir']
    options['hidden_sizes'] = tuple(options['hidden_sizes'])
    return Config(**options)
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise UserError(f'{path}: damaged ({error})') from None


def check_same_run(folder: pathlib.Path, config: Config) -> None:
  """Raises `UserError` if the folder holds a run of other options."""
  stored = read_config(folder)
  for field in dataclasses.fields(Config):
    old, new = getattr(stored, field.name), getattr(config, field.name)
    if old != new and field.name not in _FREE:
      raise UserError(
        f'{folder} holds a run with {field.name}={old}, not {new}: give '
        'another --workdir, or the same options to go on with it'
      )


def _version(name: str) -> str | None:
  try:
    return importlib.metadata.version(name)
  except importlib.metadata.PackageNotFoundError:
    return None


def _git_revision() -> str | None:
  """Returns the commit of the sources, marked if they differ from it."""
  command = ['git', 'describe', '--always', '--abbrev=40', '--dirty']
  try:
    result = subprocess.run(
      command,
      cwd=pathlib.Path(__file__).parent,
      capture_output=True,
      text=True,
      timeout=10,
    )
  except (OSError, subprocess.TimeoutExpired):
    return None
  return result.stdout.strip() or None
