"""The condition y of samples: the class of `--class`, or each in turn."""

from typing import Any, NamedTuple

import numpy as np

from vae_jax import data
from vae_jax.errors import UserError
from vae_jax.runs.load import LoadedRun


class Conditions(NamedTuple):
  """The condition of each sample.

  Attributes:
    y: conditions `[N]` or `[N, D]` as the data set has them; None without.
    words: what they are, for a title; '' without.
    slug: part of the name of a file; '' for the default.
  """

  y: Any
  words: str
  slug: str


def conditions_of(run: LoadedRun, wanted: str, count: int) -> Conditions:
  """Returns the condition of each of some samples.

  Args:
    run: the run.
    wanted: number or name of a class; '' for each class in turn, or for the
      mean of covariates.
    count: number of samples.

  Raises:
    UserError: a class of a run without classes, or an unknown one.
  """
  condition = run.condition
  if condition is None or not condition.classes:
    if wanted:
      has = 'covariates' if condition else 'no condition'
      raise UserError(
        f'--class: got {wanted} with a run that has {has}, expected a run with '
        'classes. Leave --class out'
      )
    if condition is None:
      return Conditions(None, '', '')
    mean = np.array(condition.mean)
    words = 'y: the mean of the training covariates'
    return Conditions(np.broadcast_to(mean, (count, len(mean))), words, '')
  classes = np.array(condition.classes)
  options = run.config.data
  if not wanted:
    y = classes[np.arange(count) % len(classes)]
    return Conditions(y, f'classes {_few(condition.classes)} in turn', '')
  names = []
  if not _is_number_of(wanted, condition.classes):
    names = data.class_names(options.dataset, data_dir=options.data_dir)
  own = _find(wanted, condition.classes, names)
  slug = ''.join(c if c.isalnum() else '_' for c in wanted)
  y = np.full(count, own)
  return Conditions(y, f'class {wanted}', f'_class_{slug}')


def _few(classes: tuple[Any, ...]) -> str:
  """Returns the classes in words, of many the first and the last."""
  if len(classes) > 5:
    return f'{classes[0]} to {classes[-1]}'
  return ', '.join(map(str, classes))


def _is_number_of(wanted: str, classes: tuple[Any, ...]) -> bool:
  return wanted in map(str, classes)


def _find(wanted: str, classes: tuple[Any, ...], names: list[str]) -> Any:
  """Returns the class of a number or a name; raises `UserError` for others."""
  by_text = {str(each): each for each in classes}
  by_name = {
    name: label for label, name in enumerate(names) if name and label in classes
  }
  known = [*(by_name or by_text)]
  if wanted in by_text:
    return by_text[wanted]
  if wanted in by_name:
    return by_name[wanted]
  is_place = wanted.isdecimal() and isinstance(classes[0], str)
  if is_place and int(wanted) < len(classes):
    return classes[int(wanted)]
  more = ', ...' if len(known) > 12 else ''
  raise UserError(
    f'--class: got {wanted}, expected one of the {len(classes)} training '
    f'classes: {", ".join(known[:12])}{more}. Use one of them'
  )
