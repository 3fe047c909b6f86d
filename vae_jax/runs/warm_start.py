"""Warm start: a new run begins with the parameters of another run."""

import dataclasses
from typing import Any, NamedTuple

import jax

from vae_jax import data
from vae_jax.errors import UserError
from vae_jax.io.checkpoint import CheckpointError
from vae_jax.models import LatentModel
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.record import Record
from vae_jax.runs.restore import restore_model
from vae_jax.runs.seeds import in_words, seeds_of
from vae_jax.training.seeds import stack_trees
from vae_jax.types import Params

# Options of the data on which the parameters depend.
_OF_DATA = ('condition', 'missing')


class Warm(NamedTuple):
  """Parameters of another run, and the words that say which."""

  params: Params
  words: str


def read_params(new: Record, model: LatentModel) -> Warm:
  """Reads the parameters of the run of `--warm_start`.

  They are those of its report: of the best step with `--patience`, and the
  moving average with `--ema`. Those of one seed start every seed of many.

  Args:
    new: record of the new run.
    model: its model.

  Raises:
    UserError: no run in the folder, another model, classes or seeds.
    CheckpointError: no good checkpoint.
  """
  path = new.config.run.warm_start
  folder = RunFolder.find(path)
  where = f'--warm_start={path}'
  try:
    old = folder.read_record()
  except UserError as error:
    raise UserError(f'{where}: {error}') from None
  _check_model(where, old, new)
  numbers = seeds_of(old.config)
  count = new.config.run.num_seeds
  if len(numbers) not in (1, count):
    raise UserError(
      f'{where}: got a run of {in_words(numbers)}, expected one seed or '
      f'{count}. Use another --num_seeds'
    )
  shape = old.data_shape or new.data_shape or ()
  own = model if old.custom_model else None
  found = restore_model(folder, old, shape, model=own)
  if not found.step:
    raise UserError(
      f'{where}: got a run before its first step, expected a trained one. '
      'Train it first'
    )
  params = found.params
  if len(numbers) < count:
    params = stack_trees([params] * count)
  target = jax.eval_shape(model.init, jax.random.key(0))
  if count > 1:
    target = jax.eval_shape(lambda one: stack_trees([one] * count), target)
  _check_leaves(where, params, target)
  words = (
    f'{folder.path} at step {found.step} (epoch {found.epoch}), '
    f'{found.parameters} parameters'
  )
  return Warm(params, words)


class WarmStart:
  """Reads the parameters of `--warm_start`, and keeps the words on them."""

  def __init__(self, new: Record, *, resumes: bool = False):
    self._new, self.words = new, ''
    self._is_wanted = bool(new.config.run.warm_start) and not resumes

  def read(
    self,
    model: LatentModel,
    shape: tuple[int, ...],
    condition: data.Condition | None,
  ) -> Params | None:
    """Returns the parameters for a model of a new run; None for `init`."""
    if not self._is_wanted:
      return None
    new = self._new._replace(data_shape=shape, condition=condition)
    found = read_params(new, model)
    self.words = found.words
    print(f'warm start from {found.words}', flush=True)
    return found.params


def _check_model(where: str, old: Record, new: Record) -> None:
  """Raises `UserError` where the options of the models differ."""
  if old.custom_model != new.custom_model:
    names = [x.custom_model or 'one of the options' for x in (old, new)]
    raise UserError(
      f'{where}: got the model {names[0]}, expected {names[1]}. Use a run of '
      'the same model'
    )
  if not new.custom_model:
    before, now = old.config.flat(), new.config.flat()
    names = [x.name for x in dataclasses.fields(new.config.model)]
    for name in (*names, *_OF_DATA):
      if before[name] != now[name]:
        raise UserError(
          f'{where}: got --{name}={_text(before[name])}, expected '
          f'--{name}={_text(now[name])} as the new run has. Use the same model'
        )
  classes = [x.condition and x.condition.classes for x in (old, new)]
  if classes[0] != classes[1]:
    raise UserError(
      f'{where}: got the classes {_few(classes[0])}, expected '
      f'{_few(classes[1])} as the new data have. Use data of the same classes'
    )


def _text(value: Any) -> str:
  return ','.join(map(str, value)) if isinstance(value, tuple) else str(value)


def _few(classes: Any) -> str:
  text = ', '.join(map(str, classes or ('none',)))
  return text if len(text) < 80 else f'{text[:77]}...'


def _check_leaves(where: str, params: Params, target: Params) -> None:
  """Raises `CheckpointError` naming a leaf of another shape or dtype."""
  named = jax.tree_util.tree_leaves_with_path
  expected = {jax.tree_util.keystr(k): x for k, x in named(target)}
  found = {jax.tree_util.keystr(k): x for k, x in named(params)}
  words = lambda x: 'none' if x is None else f'{x.dtype}{list(x.shape)}'
  for name in (*expected, *found):
    got, wanted = found.get(name), expected.get(name)
    if words(got) != words(wanted):
      plain = name.replace("']['", '/').strip("[']")
      raise CheckpointError(
        f'{where}: got {words(got)} for the parameters {plain}, expected '
        f'{words(wanted)} as the new run has. Use data of the same shape'
      )
