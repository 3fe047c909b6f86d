"""Options that a resumed run may change: freely, or on purpose and recorded."""

import dataclasses
import pathlib
from typing import Any

from vae_jax.errors import UserError
from vae_jax.runs.config import Config, ObjectiveOptions
from vae_jax.training import SCHEDULES

# Options that change no computed number: where a run is stored, what it
# reports and which checkpoints it keeps.
_FREE = (
  *('checkpoint_seconds', 'compile_cache', 'data_dir', 'keep_checkpoints'),
  *('monitor_gradients', 'nll_num_samples', 'on_nonfinite', 'platform'),
  *('num_devices', 'report', 'stream', 'workdir'),
)
OBJECTIVE = frozenset(x.name for x in dataclasses.fields(ObjectiveOptions))
# Options of --resume_with_changes: the arrays of the state stay the same.
_ON_PURPOSE = (
  *OBJECTIVE,
  *('clip_norm', 'learning_rate', 'learning_rate_warmup_epochs'),
  *('learning_rate_warmup_steps', 'num_epochs', 'patience', 'schedule'),
  'weight_decay',
)
_FLAG = '--resume_with_changes'


def check_resumes(config: Config, path: pathlib.Path, resumes: bool) -> None:
  """Raises `UserError` if there is no run that could be resumed."""
  if config.run.resume_with_changes and not resumes:
    raise UserError(
      f'{_FLAG}: got {path} without a checkpoint, expected the folder of a run '
      f'to resume. Leave {_FLAG} out'
    )


def changed_options(
  path: pathlib.Path, stored: Any, new: Any
) -> dict[str, Any]:
  """Compares the options with those of the run to be resumed.

  The number of epochs may increase, unless the schedule depends on it, and so
  may the patience; so may change every option on which no computed number
  depends. With `--resume_with_changes`, so may the objective and the options
  of the optimizer that keep the arrays of its state.

  Args:
    path: folder of the run, for the message.
    stored: `Record` in the folder.
    new: `Record` of this command.

  Returns:
    Name -> stored value of every option that has changed.

  Raises:
    UserError: an option that must not change has; names all of them.
  """
  for name, old, given in (
    ('model', stored.custom_model, new.custom_model),
    ('optimizer', stored.custom_optimizer, new.custom_optimizer),
  ):
    if old != given:
      raise UserError(
        f'{path}: got {_origin(name, given)}, expected {_origin(name, old)} '
        f'as the run has. Use another --workdir, or the same {name}='
      )
  before, now = stored.options(), new.options()
  changed = {k: old for k, old in before.items() if old != now[k]}
  free, possible = _free(stored, new), _on_purpose(before, now)
  refused = [name for name in changed if name not in free]
  on_purpose = new.config.run.resume_with_changes
  if on_purpose:
    refused = [name for name in refused if name not in possible]
  if not refused:
    return changed
  advice = 'the same options to resume it'
  if on_purpose:
    advice += f': {_FLAG} keeps data, model, seeds, batches and optimizer state'
  elif set(refused) <= possible:
    advice += f', or {_FLAG} to change them on purpose'
  differences = [
    f'--{name}={now[name]}, expected {changed[name]}' for name in refused
  ]
  raise UserError(
    f'{path}: got {"; ".join(differences)} as the run in this folder has. Use '
    f'another --workdir, or {advice}'
  )


def to_record(stored: Any, new: Any, changed: dict[str, Any]) -> dict[str, Any]:
  """Returns name -> [old, new] of the changes that config.json lists."""
  now, free = new.options(), _free(stored, new)
  return {
    name: [old, now[name]] for name, old in changed.items() if name not in free
  }


def add_to_history(
  history: Any, step: int, options: dict[str, Any]
) -> list[dict[str, Any]]:
  """Returns the history of changes, as config.json holds it.

  Args:
    history: the former one, from a file.
    step: step from which the run resumes.
    options: of `to_record`.
  """
  entries = history if isinstance(history, list) else []
  former = [x for x in entries if isinstance(x, dict)]
  # A run that resumes from an older checkpoint repeats steps with the options
  # of a later change.
  for each in former:
    if isinstance(each.get('step'), int):
      each['step'] = min(each['step'], step)
  return former + ([{'step': step, 'options': options}] if options else [])


def _free(stored: Any, new: Any) -> set[str]:
  """Returns the options that may change without a word of the user."""
  before, now = stored.options(), new.options()
  schedule = SCHEDULES[new.config.optimizer.schedule]
  spans_run = schedule.spans_run and not new.custom_optimizer
  free = {*_FREE}
  if now['num_epochs'] > before['num_epochs'] and not spans_run:
    free.add('num_epochs')
  # A smaller one would have stopped the run before.
  if before['patience'] and not 0 < now['patience'] < before['patience']:
    free.add('patience')
  if stored.data_digests is not None:
    free.add('dataset')  # The digests tell whether the data are the same.
  return free


def _on_purpose(before: dict[str, Any], now: dict[str, Any]) -> set[str]:
  """Returns the options that may change with `--resume_with_changes`."""
  # Without a moving average there is no array of it.
  has_average = before['ema'] and now['ema']
  return {*_ON_PURPOSE, *(('ema',) if has_average else ())}


def _origin(name: str, custom: Any) -> str:
  if not custom:
    return f'a {name} built from the options'
  return f'{name}={custom}' if custom is not True else f'{name}= from Python'
