"""One gradient step."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.training.optimizer import Optimizer, global_norm, update
from vae_jax.types import Array, Key, Params

LossFn = Callable[..., Any]
Metrics = dict[str, Array]


class TrainState(NamedTuple):
  """State carried from one step to the next.

  Attributes:
    step: gradient steps taken, `[]` int32.
    params: any pytree.
    opt_state: state of the optimizer.
  """

  step: Array
  params: Params
  opt_state: Any


def init_train_state(params: Params, optimizer: Optimizer) -> TrainState:
  """Returns the state before the first step."""
  return TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params))


def make_train_step(
  loss_fn: LossFn,
  optimizer: Optimizer,
  *,
  schedules: Mapping[str, Callable[[Array], Array]] | None = None,
  refit: Callable[[Key, Params, Any], Params] | None = None,
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

  Returns:
    `step(key, state, batch) -> (state, metrics)`, jitted by the caller. The
    metrics contain `loss`, `grad_norm`, the mean of each term and the value
    of each schedule, `[]`.
  """
  schedules = schedules or {}

  def loss_and_terms(
    params: Params, key: Key, batch: Any, scheduled: Metrics
  ) -> Any:
    value = loss_fn(key, params, batch, **scheduled)
    return value if isinstance(value, tuple) else (value, {})

  def step(
    key: Key, state: TrainState, batch: Any
  ) -> tuple[TrainState, Metrics]:
    params = state.params
    if refit:
      key, refit_key = jax.random.split(key)
      params = refit(refit_key, params, batch)
    # The schedules of optax mix dtypes.
    with jax.numpy_dtype_promotion('standard'):
      scheduled = {name: at(state.step) for name, at in schedules.items()}
    gradient = jax.value_and_grad(loss_and_terms, has_aux=True)
    (loss, terms), grads = gradient(params, key, batch, scheduled)
    params, opt_state = update(optimizer, grads, state.opt_state, params)
    metrics = {name: jnp.mean(term) for name, term in _items(terms)}
    metrics |= scheduled | {'loss': loss, 'grad_norm': global_norm(grads)}
    return TrainState(state.step + 1, params, opt_state), metrics

  return step


def _items(terms: Any) -> Any:
  terms = terms if isinstance(terms, Mapping) else terms._asdict()
  return terms.items()
