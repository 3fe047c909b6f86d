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

from vae_jax import files
from vae_jax.config import Config
from vae_jax.errors import UserError

CONFIG, METRICS = 'config.json', 'metrics.jsonl'
CHECKPOINTS, BEST = 'checkpoints', 'best'
FIGURES, PAGE = 'figures', 'report.html'

_PACKAGES = (
  *('vae_jax', 'jax', 'jaxlib', 'flax', 'optax', 'numpy'),
  *('tensorflow-datasets', 'matplotlib'),
)
# Where a run lies, what it reports and how it is kept does not change what it
# computes.
_FREE = (
  *('checkpoint_seconds', 'data_dir', 'keep_checkpoints'),
  *('monitor_gradients', 'nll_num_samples', 'on_nonfinite', 'platform'),
  'workdir',
)
_MOST_BYTES = 2**20


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
    return pathlib.Path(os.path.expanduser(path))
  runs = [path.parent for path in pathlib.Path(root).glob(f'*/{METRICS}')]
  if not runs:
    raise UserError(
      f'no run in {pathlib.Path(root).absolute()}: train one, or name it with '
      '--workdir'
    )
  return max(runs, key=lambda run: (run / METRICS).stat().st_mtime)


def find_checkpoints(folder: pathlib.Path, name: str) -> pathlib.Path:
  """Returns the folder of the 'latest' checkpoints, or of the 'best' one.

  Raises:
    UserError: it is a symbolic link or a file.
  """
  checkpoints = folder / CHECKPOINTS
  files.check_folder(checkpoints)
  return checkpoints / BEST if name == BEST else checkpoints


def create(path: str) -> pathlib.Path:
  """Makes the folder if it is missing and shows that it can be written to.

  Raises:
    UserError: `path` is a file, or cannot be made or written to.
  """
  folder = pathlib.Path(os.path.expanduser(path))
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
  files.write_text(folder / CONFIG, json.dumps(record, indent=2) + '\n')


def read_versions(folder: pathlib.Path) -> dict[str, str]:
  """Returns what a run was made with: name -> version; '' for unknown.

  Raises:
    UserError: a damaged record.
  """
  record = _read(folder / CONFIG)
  try:
    versions = {
      'revision': record['git_revision'],
      'python': record['python_version'],
      **record['versions'],
    }
  except (KeyError, TypeError) as error:
    raise UserError(f'{folder / CONFIG}: damaged ({error})') from None
  return {name: str(version or '') for name, version in versions.items()}


def other_versions(folder: pathlib.Path) -> list[str]:
  """Says in words which packages are not of the versions the run began with."""
  now = {'python': platform.python_version()}
  now |= {name: _version(name) or '' for name in ('jax', 'jaxlib')}
  return [
    f'the run began with {name} {old}, this is {now[name]}'
    for name, old in read_versions(folder).items()
    if name in now and old != now[name]
  ]


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
  record = _read(path)
  missing = [x.name for x in dataclasses.fields(Config) if x.name not in record]
  if missing:
    raise UserError(
      f'{path}: damaged, or of another version of vae_jax (it has no '
      f'{", ".join(missing)})'
    )
  options = {
    field.name: record[field.name] for field in dataclasses.fields(Config)
  }
  options['data_dir'] = data_dir or options['data_dir']
  if isinstance(options['hidden_sizes'], list):
    options['hidden_sizes'] = tuple(options['hidden_sizes'])
  try:
    return Config(**options)
  except UserError as error:
    raise UserError(f'{path}: damaged ({error})') from None


def check_same_run(folder: pathlib.Path, config: Config) -> dict[str, Any]:
  """Compares the options with those of the run that the folder holds.

  More epochs go on, unless a schedule spans them all; so do options that
  change nothing of what is computed.

  Returns:
    name -> the stored value, of every option that has another one now.

  Raises:
    UserError: names each option that may not change, with both values.
  """
  stored = read_config(folder)
  changed = {
    field.name: getattr(stored, field.name)
    for field in dataclasses.fields(Config)
    if getattr(stored, field.name) != getattr(config, field.name)
  }
  free = {*_FREE}
  if config.num_epochs > stored.num_epochs and config.schedule != 'cosine':
    free.add('num_epochs')
  refused = [
    f'{name}={old}, not {getattr(config, name)}'
    for name, old in changed.items()
    if name not in free
  ]
  if refused:
    raise UserError(
      f'{folder} holds a run with {"; ".join(refused)}: give another '
      '--workdir, or the same options to go on with it'
    )
  return changed


def _read(path: pathlib.Path) -> dict[str, Any]:
  """Returns the object in a JSON file."""
  try:
    record = json.loads(files.read_text(path, most=_MOST_BYTES))
  except UserError:
    raise
  except (ValueError, RecursionError) as error:
    raise UserError(f'{path}: damaged ({error})') from None
  if not isinstance(record, dict):
    raise UserError(f'{path}: damaged (no JSON object)')
  return record


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
