"""The gradient steps of a run: state, batches and compiled programs."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from vae_jax import data
from vae_jax.data.feed import count_examples
from vae_jax.errors import UserError
from vae_jax.evaluate import take
from vae_jax.models import LatentModel
from vae_jax.models.semi_supervised import SemiSupervisedVAE
from vae_jax.runs import examples, seeds
from vae_jax.runs.config import Config
from vae_jax.runs.config.auto import with_estimator
from vae_jax.runs.config.conflicts import estimators_of, first_of
from vae_jax.runs.functions import Init, Steps
from vae_jax.training import (
  LossFn,
  init_train_state,
  make_loss,
  make_loss_schedules,
  make_optimizer,
  make_refit,
  make_train_step,
)
from vae_jax.training.epoch import Indices, RunState, init_run_state
from vae_jax.training.mesh import place, shard_preprocess, shard_step
from vae_jax.training.optimizer import Optimizer
from vae_jax.training.seeds import take_one
from vae_jax.training.semi_supervised import (
  make_labelled_indices,
  make_semi_supervised_loss,
)
from vae_jax.training.steps import (
  NonFinite,
  Preprocess,
  Step,
  make_find_nonfinite,
  make_gradient_norm,
  make_metrics,
  make_skipping_steps,
  make_steps,
)
from vae_jax.training.train_step import GRAD_NORM
from vae_jax.types import Key, Params


class Training(NamedTuple):
  """The fields of a `Recipe` on gradient steps."""

  init: Init
  steps: Steps
  find_nonfinite: Callable[[RunState, int], NonFinite]
  measure: Callable[[RunState], dict[str, float]]
  steps_per_block: int
  select: Callable[[str], None]


class _Programs(NamedTuple):
  """Compiled programs of one estimator."""

  step: Step
  steps: Any
  find_nonfinite: Any
  norm: Any


class _Switch:
  """The programs of the estimator that trains, made when it is selected."""

  def __init__(self, make: Callable[[str], _Programs], name: str) -> None:
    self._make, self._name = functools.cache(make), name

  def select(self, name: str) -> None:
    self._name = name

  @property
  def now(self) -> _Programs:
    return self._make(self._name)


def make_training(
  config: Config,
  model: LatentModel,
  preprocess: Preprocess,
  x: Any,
  optimizer: Optimizer | None = None,
  *,
  refit: bool = False,
  mesh: Mesh | None = None,
  params: Params | None = None,
) -> Training:
  """Makes the initial state and the compiled steps over the training data.

  Args:
    config: options of the run.
    model: model to train.
    preprocess: from stored data to a batch, at each visit.
    x: training examples as stored, a pytree `[N, ...]`, which move to every
      device whole; or images on disk, of which the steps take one block after
      another.
    optimizer: optax transformation; None for the one of the options.
    refit: whether sigma is set in closed form before each step.
    mesh: devices over which batches are sharded; None for one.
    params: initial parameters, stacked for many seeds; None for those of
      `model.init`.
  """
  options = config.optimizer
  if optimizer is None:
    per_epoch = count_examples(x) // options.batch_size
    optimizer = make_optimizer(options, steps_per_epoch=per_epoch)
  preprocess = shard_preprocess(preprocess, mesh)
  how: Any = {'refit': make_refit(model) if refit else None, 'mesh': mesh}
  count = count_examples(x)
  switch = _make_switch(config, model, optimizer, preprocess, count, **how)
  numbers = seeds.seeds_of(config)
  start = _make_start(config, model, params)
  of_seed = _make_of_seed(config, start, optimizer, switch, preprocess, x, mesh)
  init, key, batches, measure, steps_per_block = seeds.join(
    numbers, [of_seed(number) for number in numbers]
  )
  return Training(
    init=init,
    steps=lambda state, n: switch.now.steps(key, state, batches(state), n),
    find_nonfinite=lambda state, n: switch.now.find_nonfinite(
      key, state, batches(state), n
    ),
    measure=measure,
    steps_per_block=steps_per_block,
    select=switch.select,
  )


def _make_switch(
  config: Config,
  model: LatentModel,
  optimizer: Optimizer,
  preprocess: Preprocess,
  num_examples: int,
  *,
  refit: Any,
  mesh: Mesh | None,
) -> _Switch:
  """Makes the steps of the run's estimators, of which the first trains."""
  options, numbers = config.optimizer, seeds.seeds_of(config)
  schedules = make_loss_schedules(
    config.objective, steps_per_epoch=num_examples // options.batch_size
  )
  given: Any = {'schedules': schedules, 'refit': refit, 'ema': options.ema}
  skips = options.on_nonfinite == 'skip'

  def make_programs(estimator: str) -> _Programs:
    own = with_estimator(config, estimator)
    loss = make_loss_of(own, model, num_examples)
    step = shard_step(make_train_step(loss, optimizer, **given), mesh)
    steps = (make_skipping_steps if skips else make_steps)(step, preprocess)
    find = make_find_nonfinite(step, preprocess)
    norm = make_gradient_norm(step, preprocess)
    return _Programs(step, *seeds.vectorise(numbers, steps, find), norm)

  return _Switch(make_programs, estimators_of(config)[0])


def make_loss_of(
  config: Config, model: LatentModel, num_examples: int
) -> LossFn:
  """Makes the loss of the options; the semi-supervised one with few labels.

  Where the run chooses its estimator, that of the first one.
  """
  config = first_of(config)
  if not config.data.num_labelled:
    return make_loss(model, config.objective)
  if not isinstance(model, SemiSupervisedVAE):
    raise UserError(
      f'--num_labelled: got the model {type(model).__name__}, expected a '
      'SemiSupervisedVAE. Leave --num_labelled out'
    )
  share = config.data.num_labelled / num_examples
  return make_semi_supervised_loss(
    model, config.objective, labelled_share=share
  )


def make_indices(config: Config, x: Any, seed: int) -> Indices | None:
  """Makes the rows of batches with few labels; None where all are seen."""
  if not config.data.num_labelled:
    return None
  rows = examples.labelled_rows(config, x, seed)
  batch_size = config.optimizer.batch_size
  return make_labelled_indices(rows, count_examples(x), batch_size)


def _make_start(
  config: Config, model: LatentModel, params: Params | None
) -> Callable[[int, Key], Params]:
  """Makes (seed, key) -> the initial parameters of a seed."""

  def start(number: int, key: Key) -> Params:
    if params is None:
      return model.init(key)
    if config.run.num_seeds == 1:
      return params
    return take_one(params, number - config.run.seed)

  return start


def _make_of_seed(
  config: Config,
  start: Callable[[int, Key], Params],
  optimizer: Optimizer,
  switch: _Switch,
  preprocess: Preprocess,
  x: Any,
  mesh: Mesh | None,
) -> Callable[[int], seeds.Seeded]:
  """Makes seed -> the parts of a training that depend on it."""
  options = config.optimizer
  metrics = make_metrics(switch.now.step, preprocess)
  stored = x
  some_of = lambda rows: place(
    jax.tree.map(jnp.asarray, take(stored, rows)), mesh
  )
  first = some_of(slice(options.batch_size))
  if not isinstance(x, data.Streamed):
    # Once for all seeds.
    x = jax.tree.map(jnp.asarray, x) if mesh is None else place(x, mesh)

  def of_seed(number: int) -> seeds.Seeded:
    init_key, order_key, *keys = _split_in_four(jax.random.key(number))
    train_key, norm_key = place(keys, mesh)
    indices, some = make_indices(config, stored, number), first
    if indices:
      some = some_of(np.asarray(indices(order_key, 0)[0]))

    def init() -> RunState:
      params = start(number, init_key)
      train = init_train_state(params, optimizer, ema=options.ema)
      return init_run_state(
        train, jax.eval_shape(metrics, train_key, train, some)
      )

    # Of the same examples in every epoch.
    measure = lambda state: {
      GRAD_NORM: float(switch.now.norm(norm_key, state.train, some))
    }
    batches, steps_per_block = data.make_batches(
      order_key, x, options.batch_size, options.num_epochs, mesh, indices
    )
    return seeds.Seeded(init, train_key, batches, measure, steps_per_block)

  return of_seed


# One program instead of two.
@jax.jit
def _split_in_four(key: Key) -> tuple[Key, ...]:
  return tuple(jax.random.split(key, 4))
