"""The record of a run, config.json: options, data shape and versions."""

import dataclasses
import hashlib
import json
import pathlib
from typing import Any, NamedTuple

from vae_jax.data.condition import Condition, condition_of_record
from vae_jax.errors import UserError
from vae_jax.io import files
from vae_jax.runs import changes, versions
from vae_jax.runs.config import Config
from vae_jax.runs.config.train import UNRECORDED
from vae_jax.runs.standardise import Statistics, read_statistics

_RESUMED, _DIGEST, _CHANGES = 'resumed', 'digest', 'changes'
_STATISTICS, _WARM_START = 'data_statistics', 'warm_start'
# Key in the part of a model or an optimizer that was given from Python.
_CUSTOM = 'custom'
# Options of its part that are read beside a model, and not beside an optimizer.
_READ_WITH_CUSTOM_MODEL = ('likelihood',)
_REPLACED_BY_OPTIMIZER = (
  *('optimizer', 'learning_rate', 'schedule'),
  *('learning_rate_warmup_epochs', 'learning_rate_warmup_steps'),
  *('weight_decay', 'clip_norm'),
)
_MAX_BYTES = 2**20


class Record(NamedTuple):
  """Everything that config.json states about how a run is computed.

  Attributes:
    config: options of the run.
    data_shape: shape of one x; None in a folder of an older version.
    custom_model: name of a model given from Python; '' for one built from
      the options.
    custom_optimizer: whether the optimizer was given from Python.
    data_digests: split -> SHA-256 of its examples; None in a folder of an
      older version.
    statistics: by which real numbers are standardised; None for none.
    condition: classes or covariates of the training split; None without them.
    warm_start: words on the parameters that the run started from; '' for
      those of `model.init`.
  """

  config: Config
  data_shape: tuple[int, ...] | None
  custom_model: str = ''
  custom_optimizer: bool = False
  data_digests: dict[str, str] | None = None
  statistics: Statistics | None = None
  condition: Condition | None = None
  warm_start: str = ''

  def options(self) -> dict[str, Any]:
    """Returns flag name -> value, without options that are not read."""
    unread = {*UNRECORDED}
    if self.custom_model:
      names = {x.name for x in dataclasses.fields(self.config.model)}
      unread |= names - {*_READ_WITH_CUSTOM_MODEL}
    if self.custom_optimizer:
      unread |= {*_REPLACED_BY_OPTIMIZER}
    return {k: v for k, v in self.config.flat().items() if k not in unread}


def write_record(
  path: pathlib.Path,
  record: Record,
  *,
  resumed: bool = False,
  step: int = 0,
  changed: dict[str, Any] | None = None,
) -> None:
  """Writes config.json: options, data shape, versions, git revision.

  Args:
    path: the file.
    record: options and data shape.
    resumed: whether the file is that of the resumed run. Its versions at the
      start stay, and the present ones are added where they differ.
    step: step from which a resumed run continues.
    changed: option -> [old, new] of what was changed on purpose there, which
      is added to the history of changes.
  """
  read, content = record.options(), record.config.record()
  for part in content.values():
    if isinstance(part, dict):
      for name in [name for name in part if name not in read]:
        del part[name]
  if record.custom_model:
    content['model'][_CUSTOM] = record.custom_model
  if record.custom_optimizer:
    content['optimizer'][_CUSTOM] = True
  content['data_shape'] = record.data_shape
  content['data_digests'] = record.data_digests
  if record.statistics is not None:
    content[_STATISTICS] = record.statistics.record()
  if record.condition:
    content['condition'] = record.condition.record()
  content[_DIGEST] = _digest(content)
  now = versions.present()
  if record.warm_start:
    content[_WARM_START] = record.warm_start
  if resumed:
    old = _read(path)
    content |= {k: old[k] for k in (_WARM_START,) if k in old}
    found = old.get(_RESUMED)
    later = found if isinstance(found, list) else []
    first = {name: old[name] for name in versions.KEYS if name in old}
    if now != (later[-1] if later else first):
      later = [*later, now]
    content |= first | ({_RESUMED: later} if later else {})
    history = changes.add_to_history(old.get(_CHANGES), step, changed or {})
    content |= {_CHANGES: history} if history else {}
    if _is_edited(old):
      content[_DIGEST] = old[_DIGEST]
  else:
    content |= now
  text = json.dumps(content, indent=2) + '\n'
  if not resumed or files.read_text(path) != text:
    files.write_text(path, text)


def _digest(content: dict[str, Any]) -> str:
  """Returns a digest of the options."""
  other = {*versions.KEYS, _RESUMED, _DIGEST, _CHANGES, _WARM_START}
  options = {k: v for k, v in content.items() if k not in other}
  text = json.dumps(options, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()


def is_edited(path: pathlib.Path) -> bool:
  """Returns whether the options are not those that `write_record` wrote."""
  return _is_edited(_read(path))


def _is_edited(content: dict[str, Any]) -> bool:
  # A folder of an older version has no digest.
  return content.get(_DIGEST, _digest(content)) != _digest(content)


def read_record(
  path: pathlib.Path, *, data_dir: str = '', dataset: str = ''
) -> Record:
  """Reads config.json, with nested options or the flat ones of old versions.

  Args:
    path: the file.
    data_dir: present folder of the data; '' for the recorded one.
    dataset: present name of the data set; '' for the recorded one.

  Raises:
    UserError: no such file, or a damaged one.
  """
  if not path.is_file():
    raise UserError(
      f'{path.parent}: holds no run: got no {path.name}, expected one. Train '
      'a run there, or use another --workdir'
    )
  content = _read(path)
  try:
    model = _pop_custom(content, 'model')
    optimizer = _pop_custom(content, 'optimizer')
    config = Config.from_record(content)
    present = {'data_dir': data_dir, 'dataset': dataset}
    config = config.replace(**{k: v for k, v in present.items() if v})
    shape = _data_shape(content.get('data_shape'))
    digests = _digests(content.get('data_digests'))
    statistics = read_statistics(content.get(_STATISTICS))
    condition = _condition(config, content.get('condition'))
  except (UserError, TypeError) as error:
    raise UserError(f'{path}: damaged ({error})') from None
  return Record(
    config=config,
    data_shape=shape,
    custom_model=str(model or ''),
    custom_optimizer=bool(optimizer),
    data_digests=digests,
    statistics=statistics,
    condition=condition,
    warm_start=str(content.get(_WARM_START, '')),
  )


def _pop_custom(content: dict[str, Any], part: str) -> Any:
  """Takes the name of a custom part out; puts defaults for unread options."""
  options = content.get(part)
  if not isinstance(options, dict) or _CUSTOM not in options:
    return None
  name = options.pop(_CUSTOM)
  content[part] = Config().record()[part] | options
  return name


def _data_shape(value: Any) -> tuple[int, ...] | None:
  if value is None:
    return None
  sizes = value if isinstance(value, list) else [None]
  if not all(type(size) is int and size > 0 for size in sizes):
    raise UserError(f'data_shape: got {str(value)[:80]}, expected sizes')
  return tuple(sizes)


def _condition(config: Config, value: Any) -> Condition | None:
  if (value is None) != (config.data.condition == 'none'):
    raise UserError(
      f'condition: got {str(value)[:80]} with '
      f'--condition={config.data.condition}, expected both or none'
    )
  return condition_of_record(value)


def _digests(value: Any) -> dict[str, str] | None:
  if value is None:
    return None
  if not isinstance(value, dict) or not all(
    isinstance(digest, str) for digest in value.values()
  ):
    raise UserError(f'data_digests: got {str(value)[:80]}, expected digests')
  return value


def read_versions(path: pathlib.Path) -> dict[str, str]:
  """Returns the versions at the start of a run: name -> version, '' unknown.

  Raises:
    UserError: a damaged record.
  """
  return versions.of_record(path, _read(path))


def was_changed(path: pathlib.Path) -> bool:
  """Returns whether a run was resumed with `--resume_with_changes`.

  The record then holds the options of its end, and not those of its start.
  """
  return bool(_read(path).get(_CHANGES))


def _read(path: pathlib.Path) -> dict[str, Any]:
  """Returns the object in a JSON file."""
  try:
    content = json.loads(files.read_text(path, max_bytes=_MAX_BYTES))
  except UserError:
    raise
  except (ValueError, RecursionError) as error:
    raise UserError(f'{path}: damaged ({error})') from None
  if not isinstance(content, dict):
    raise UserError(f'{path}: damaged (not a JSON object)')
  return content
