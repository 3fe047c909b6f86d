"""Conditions y of a data set: which classes or covariates there are."""

from typing import Any, NamedTuple

import numpy as np

from vae_jax.data.split import printable
from vae_jax.errors import UserError


class Condition(NamedTuple):
  """Facts of the training conditions, with which others are coded.

  Attributes:
    classes: the classes, sorted integers or names; () for covariates.
    mean: mean of each covariate over the training examples.
    scale: standard deviation of each covariate, 1 for a constant one.
  """

  classes: tuple[int | str, ...] = ()
  mean: tuple[float, ...] = ()
  scale: tuple[float, ...] = ()

  @property
  def num_classes(self) -> int:
    """Number of classes, 0 for covariates."""
    return len(self.classes)

  @property
  def num_covariates(self) -> int:
    """Number of covariates, 0 for classes."""
    return len(self.mean)

  @property
  def words(self) -> str:
    """Phrase that names the kind of y."""
    if self.classes:
      return f'{self.num_classes} classes, one-hot'
    return f'{self.num_covariates} covariates, standardised over training'

  def encode(self, where: str, y: np.ndarray) -> np.ndarray:
    """Returns conditions as a model takes them.

    Args:
      where: name of the array in messages.
      y: classes or covariates as stored, `[N]` or `[N, D]`.

    Returns:
      Indices of classes, int32 `[N]`; or (y - mean) / scale, float32 `[N, D]`.

    Raises:
      UserError: another kind of array, or a class that training lacks.
    """
    y = _as_conditions(where, y)
    if not self.classes:
      if y.ndim != 2 or y.shape[1] != self.num_covariates:
        raise UserError(
          f'{where}: got shape {y.shape}, expected (N, {self.num_covariates}), '
          'the covariates of the training examples'
        )
      return ((y - self.mean) / self.scale).astype(np.float32)
    known = np.array(self.classes)
    if y.ndim != 1 or (y.dtype.kind == 'U') != (known.dtype.kind == 'U'):
      raise UserError(
        f'{where}: got dtype {y.dtype} and shape {y.shape}, expected classes '
        f'(N,) such as {self.classes[0]!r}'
      )
    index = np.minimum(np.searchsorted(known, y), len(known) - 1)
    other = y[known[index] != y]
    if len(other):
      raise UserError(
        f'{where}: got the class {other.tolist()[0]!r}, expected one of the '
        f'{len(known)} training classes: '
        f'{", ".join(map(str, self.classes[:12]))}'
        + (', ...' if len(known) > 12 else '')
      )
    return index.astype(np.int32)

  def record(self) -> dict[str, Any]:
    """Returns the facts as config.json holds them."""
    return {k: list(v) for k, v in self._asdict().items() if v}


def fit_condition(where: str, y: np.ndarray | None) -> Condition:
  """Finds the classes, or mean and scale of covariates, of training examples.

  Integers, booleans and names `[N]` are classes; real numbers `[N]` and any
  numbers `[N, D]` are covariates.

  Args:
    where: name of the array in messages.
    y: conditions as stored; None where the data set has none.

  Raises:
    UserError: no conditions, ones that are no numbers or names, not finite or
      negative integers; or a single class.
  """
  if y is None:
    raise UserError(
      f'{where}: missing, expected one condition per training example. Use '
      'other data, or --condition=none'
    )
  y = _as_conditions(where, y)
  if y.ndim == 2:
    mean, scale = y.mean(axis=0), y.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    return Condition((), tuple(mean.tolist()), tuple(scale.tolist()))
  classes = np.unique(y).tolist()
  if len(classes) < 2:
    raise UserError(
      f'{where}: got the single class {classes[0]!r}, expected two or more. '
      'Use --condition=none'
    )
  return Condition(tuple(classes))


def condition_of_record(value: Any) -> Condition | None:
  """Reads the facts of config.json.

  Raises:
    UserError: they are damaged.
  """
  if value is None:
    return None
  try:
    found = Condition(**{k: tuple(v) for k, v in value.items()})
  except (AttributeError, TypeError):
    found = Condition()
  numbers = [x for x in (*found.mean, *found.scale) if type(x) is float]
  kinds = {type(x) for x in found.classes}
  good = (
    len(found.mean) == len(found.scale) == len(numbers) / 2
    and bool(found.classes) != bool(found.mean)
    and kinds in (set(), {int}, {str})
    and list(found.classes) == sorted({*found.classes})
  )
  if not good:
    raise UserError(f'condition: got {str(value)[:80]}, expected its facts')
  return found


def _as_conditions(where: str, y: Any) -> np.ndarray:
  """Returns classes `[N]`, integers or names, or covariates `[N, D]` float."""
  y = np.asarray(y)
  if y.ndim == 2 and y.shape[1] == 1 and y.dtype.kind != 'f':
    y = y[:, 0]
  if y.dtype.kind in 'SU' and y.ndim == 1:
    return np.array([printable(name) for name in y.tolist()])
  if y.dtype.kind in 'biu' and y.ndim == 1:
    if y.dtype.kind == 'i' and y.min(initial=0) < 0:
      raise UserError(
        f'{where}: got the class {y.min()}, expected classes from 0'
      )
    return y.astype(np.int64)
  if y.dtype.kind not in 'biuf' or y.ndim not in (1, 2):
    raise UserError(
      f'{where}: got dtype {y.dtype} and shape {y.shape}, expected classes '
      '(N,) or real numbers (N,) or (N, D)'
    )
  y = y.astype(np.float64).reshape(len(y), -1)
  if not np.isfinite(y).all():
    raise UserError(f'{where}: got {y[~np.isfinite(y)][0]}, expected numbers')
  return y
