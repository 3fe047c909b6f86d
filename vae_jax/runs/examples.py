"""Examples of a run: x alone, or a dict of x, its condition y and mask."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax import data
from vae_jax.data import Condition
from vae_jax.errors import UserError
from vae_jax.runs.config import Config
from vae_jax.runs.missing import mask_of
from vae_jax.training.semi_supervised import choose_labelled
from vae_jax.types import Array, Key


def fit_condition(config: Config, train: data.Split) -> Condition | None:
  """Finds the classes or covariates of the training split.

  Args:
    config: options of the run.
    train: training split as stored.

  Returns:
    Facts that code the conditions of any split; None with --condition=none.

  Raises:
    UserError: the data have no such conditions, or are on disk.
  """
  kind = config.data.condition
  if kind == 'none':
    return None
  if isinstance(train.x, data.Streamed):
    raise UserError(
      f'--condition={kind}: got training images on disk '
      f'(--stream={config.data.stream}), expected images in memory. Use '
      '--stream=never, or --condition=none'
    )
  condition = data.fit_condition(_where(config), _conditions(config, train))
  _check_num_labelled(config, condition, len(train.x))
  return condition


def _check_num_labelled(
  config: Config, condition: Condition, num_examples: int
) -> None:
  """Raises `UserError` unless some examples of each class are labelled."""
  count = config.data.num_labelled
  if not count:
    return
  if not condition.classes:
    raise UserError(
      f'--num_labelled: got {count} with covariates, expected classes, which '
      'can be summed out. Leave --num_labelled out'
    )
  if not condition.num_classes <= count < num_examples:
    raise UserError(
      f'--num_labelled: got {count}, expected at least the '
      f'{condition.num_classes} classes and fewer than the {num_examples} '
      'training examples. Use another number, or 0 for all labels'
    )


def labelled_rows(config: Config, examples: Any, seed: int) -> np.ndarray:
  """Returns the rows of the training examples whose labels are seen.

  Raises:
    UserError: a class has too few examples.
  """
  count, y = config.data.num_labelled, np.asarray(examples['y'])
  try:
    return choose_labelled(y, count, int(y.max()) + 1, seed)
  except ValueError as error:
    raise UserError(
      f'--num_labelled: got {count}, but {error}. Use fewer'
    ) from None


def of_split(
  config: Config,
  condition: Condition | None,
  x: Any,
  split: data.Split | data.Rows,
) -> Any:
  """Returns the examples of a split: x, or x with conditions and mask.

  Args:
    config: options of the run.
    condition: facts of the training split.
    x: data of the split, `filled`, as stored or preprocessed.
    split: the split as stored.

  Raises:
    UserError: conditions that are missing, or that training lacks, or missing
      data that no mask is to leave out.
  """
  mask = mask_of(config, split)
  beside = {} if mask is None else {'mask': mask}
  if condition is None:
    return {'x': x, **beside} if beside else x
  y, where = _conditions(config, split), _where(config)
  if y is None:
    raise UserError(
      f'{where}: missing in a split, expected one condition per example. Use '
      'other data, or --condition=none'
    )
  return {'x': x, 'y': condition.encode(where, y), **beside}


def facts_of(config: Config, condition: Condition | None) -> dict[str, int]:
  """Returns the arguments of `make_vae` on conditions and missing data."""
  facts: dict[str, int] = {'missing': config.data.missing == 'mask'}
  if condition is not None:
    facts |= {
      'num_classes': condition.num_classes,
      'num_covariates': condition.num_covariates,
      'classifier': config.data.num_labelled > 0,
    }
  return facts


def each_visit(preprocess: data.Preprocess, examples: Any) -> Any:
  """Returns a preprocessing of examples, of which it changes x only."""
  if not isinstance(examples, dict):
    return preprocess

  def visit(key: Key, examples: dict[str, Array]) -> dict[str, Array]:
    return {**examples, 'x': preprocess(key, examples['x'])}

  return visit


def as_real(examples: Any) -> Any:
  """Returns examples on the device whose x has the default precision."""
  if isinstance(examples, dict):
    beside = jax.tree.map(jnp.asarray, examples)
    return {**beside, 'x': jnp.asarray(examples['x'], float)}
  return jnp.asarray(examples, float)


def join(
  condition: Condition | None,
  x: Array,
  y: Any,
  mask: Any = None,
  *,
  one_for_all: bool = False,
) -> Any:
  """Returns a batch of examples from Python.

  Args:
    condition: facts of the training conditions.
    x: preprocessed, `[N, ...]`.
    y: conditions as the data set has them, `[N]` or `[N, D]`; None without.
    mask: which numbers of x are observed, of its shape; None without.
    one_for_all: whether y may also be that of one example, for all.

  Raises:
    ValueError: y is missing, or given to a model without conditions.
    UserError: y is unsuitable.
  """
  beside = {} if mask is None else {'mask': jnp.asarray(mask)}
  if condition is None:
    if y is not None:
      raise ValueError('y: got conditions, expected none: the run has none')
    return {'x': x, **beside} if beside else x
  such = 'the class' if condition.classes else 'the covariates'
  if y is None:
    raise ValueError(f'y: missing, expected {such} of each example')
  y = np.asarray(y)
  rank = 1 if condition.classes else 2
  if one_for_all and y.ndim == rank - 1:
    y = np.broadcast_to(y, (len(x), *y.shape))
  code = condition.encode('y', y)
  if len(code) != len(x):
    raise ValueError(f'y: got {len(code)} conditions, expected {len(x)}')
  return {'x': x, 'y': jnp.asarray(code), **beside}


def _conditions(
  config: Config, split: data.Split | data.Rows
) -> np.ndarray | None:
  if config.data.condition == 'y':
    return split.y
  labels = split.labels
  if labels is not None and labels.dtype.kind == 'f':
    raise UserError(
      f'{_where(config)}: got real numbers, expected integers or names of '
      'classes. Store them as the array y, and use --condition=y'
    )
  return labels


def _where(config: Config) -> str:
  kind = config.data.condition
  name = 'array y' if kind == 'y' else kind
  return f'--condition={kind}: {name} of --dataset={config.data.dataset}'
