"""One gradient step."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.training.average import Average, add_to_average, init_average
from vae_jax.training.optimizer import Optimizer, global_norm, update
from vae_jax.types import Array, Key, Params

LossFn = Callable[..., Any]
Metrics = dict[str, Array]
GRAD_NORM = 'grad_norm'


class TrainState(NamedTuple):
  """State carried from one step to the next.

  Attributes:
    step: gradient steps taken, `[]` int32.
    params: any pytree.
    opt_state: state of the optimizer.
    ema: moving average of the parameters; None for none.
  """

  step: Array
  params: Params
  opt_state: Any
  ema: Average | None = None


def init_train_state(
  params: Params, optimizer: Optimizer, *, ema: float = 0.0
) -> TrainState:
  """Returns the state before the first step.

  Args:
    params: any pytree.
    optimizer: an optax transformation.
    ema: decay of the moving average of the parameters; 0 for none.

  Raises:
    TypeError: a leaf of `params` is not a floating array; the message names
      it.
  """
  check_params(params)
  state = optimizer.init(params)
  average = init_average(params) if ema else None
  return TrainState(jnp.zeros((), jnp.int32), params, state, average)


def make_train_step(
  loss_fn: LossFn,
  optimizer: Optimizer,
  *,
  schedules: Mapping[str, Callable[[Array], Array]] | None = None,
  refit: Callable[[Key, Params, Any], Params] | None = None,
  ema: float = 0.0,
) -> Callable[[Key, TrainState, Any], tuple[TrainState, Metrics]]:
  """Makes the pure function of one gradient step.

  Args:
    loss_fn: `loss_fn(key, params, batch)` returns the scalar loss, or a pair
      of it and a NamedTuple or mapping of terms to report.
    optimizer: an optax transformation.
    schedules: keyword argument of `loss_fn` -> step -> value, such as the
      warm-up of a weight.
    refit: `refit(key, params, batch) -> params` sets parameters that have a
      closed-form optimum before the gradient is computed.
    ema: decay of the moving average of the parameters after each step; 0 for
      none, as in `init_train_state`.

  Returns:
    `step(key, state, batch) -> (state, metrics)`, jitted by the caller. The
    metrics contain `loss`, `grad_norm`, the mean of each term and the value
    of each schedule, `[]`. It raises `TypeError` for params or terms that are
    not arrays, and names the leaf.
  """
  schedules = schedules or {}

  def loss_and_terms(
    params: Params, key: Key, batch: Any, scheduled: Metrics
  ) -> Any:
    return split_terms(loss_fn(key, params, batch, **scheduled))

  def step(
    key: Key, state: TrainState, batch: Any
  ) -> tuple[TrainState, Metrics]:
    params = state.params
    check_params(params)
    if refit:
      key, refit_key = jax.random.split(key)
      params = refit(refit_key, params, batch)
    # The schedules of optax mix dtypes.
    with jax.numpy_dtype_promotion('standard'):
      scheduled = {name: at(state.step) for name, at in schedules.items()}
    gradient = jax.value_and_grad(loss_and_terms, has_aux=True)
    (loss, terms), grads = gradient(params, key, batch, scheduled)
    params, opt_state = update(optimizer, grads, state.opt_state, params)
    metrics = {name: jnp.mean(term) for name, term in terms.items()}
    metrics |= scheduled | {'loss': loss, GRAD_NORM: global_norm(grads)}
    if bool(ema) != (state.ema is not None):
      raise ValueError(f'ema: got {ema}, expected that of init_train_state')
    average = state.ema
    if average is not None:
      average = add_to_average(average, params, ema)
    return TrainState(state.step + 1, params, opt_state, average), metrics

  return step


def check_params(params: Params) -> None:
  """Raises `TypeError` for a leaf that has no gradient, by its path."""
  for path, leaf in jax.tree_util.tree_leaves_with_path(params):
    dtype = _dtype(leaf)
    if dtype is None or not jnp.issubdtype(dtype, jnp.inexact):
      raise TypeError(
        f'params{jax.tree_util.keystr(path)}: got {dtype or type(leaf)}, '
        'expected a floating array. Keep it out of params, as '
        '`nnx.split(model, nnx.Param, ...)` does'
      )


def split_terms(value: Any) -> tuple[Array, dict[str, Array]]:
  """Returns the loss and its terms of what a loss function returned."""
  if not isinstance(value, tuple):
    return value, {}
  loss, terms = value if len(value) == 2 else (None, value)
  terms = terms._asdict() if hasattr(terms, '_asdict') else terms
  if loss is None or not isinstance(terms, Mapping):
    got = type(terms).__name__ if len(value) == 2 else f'{len(value)} values'
    raise TypeError(
      f'loss_fn: got {got}, expected the loss, or a pair of it and a '
      'NamedTuple or mapping of terms'
    )
  for name, term in terms.items():
    if _dtype(term) is None:
      raise TypeError(
        f'loss_fn: term {name!r} is a {type(term).__name__}, expected an array'
      )
  return loss, dict(terms)


def _dtype(leaf: Any) -> Any:
  """Returns the dtype of an array or number, None for anything else."""
  try:
    return None if leaf is None else jnp.result_type(leaf)
  except TypeError:
    return None
