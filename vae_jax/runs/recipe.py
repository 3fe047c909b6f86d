"""The recipe of a run: data, model, loss and optimizer as functions."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from vae_jax import data
from vae_jax.errors import UserError
from vae_jax.evaluate import (
  evaluation_keys,
  make_evaluate_bound,
  make_evaluate_elbo,
)
from vae_jax.models import LIKELIHOODS, LatentModel
from vae_jax.models.make import make_vae
from vae_jax.objectives import OBJECTIVES
from vae_jax.runs import memory, monitor, scalars, splits
from vae_jax.runs.config import Config
from vae_jax.runs.loop import Init, Recipe, Steps
from vae_jax.runs.preprocess import make_preprocess
from vae_jax.training import (
  init_train_state,
  make_loss,
  make_loss_schedules,
  make_optimizer,
  make_refit,
  make_train_step,
)
from vae_jax.training.epoch import RunState, init_run_state, make_resident
from vae_jax.training.mesh import (
  fetch,
  num_devices,
  place,
  shard_preprocess,
  shard_step,
)
from vae_jax.training.optimizer import Optimizer
from vae_jax.training.steps import (
  NonFinite,
  make_find_nonfinite,
  make_gradient_norm,
  make_metrics,
  make_skipping_steps,
  make_steps,
)
from vae_jax.training.train_step import GRAD_NORM
from vae_jax.types import Array, Params

# Steps are counted in 32 bits.
_MAX_STEPS = 2**31 - 1
# Training examples on which scalar parameters are compared at the end.
_NUM_COMPARED = 1000


class RunParts(NamedTuple):
  """Everything that a run needs in memory.

  Attributes:
    recipe: functions of the training loop.
    model: model that is trained.
    data_shape: shape of one x.
    unsettled: trained params -> sentences on scalars that are still moving.
  """

  recipe: Recipe
  model: LatentModel
  data_shape: tuple[int, ...]
  unsettled: Callable[[Params], list[str]]


def make_run(
  config: Config,
  loaded: splits.Splits | None = None,
  *,
  model: LatentModel | None = None,
  optimizer: Optimizer | None = None,
  mesh: Mesh | None = None,
) -> RunParts:
  """Makes the functions of a run.

  Args:
    config: options of the run.
    loaded: its splits as stored; None to load them.
    model: model that replaces the one of `config.model`; its examples are
      the preprocessed x of the data set.
    optimizer: optax transformation that replaces `config.optimizer`'s.
    mesh: devices over which examples are sharded; None for one. The state must
      be placed there before the first step.

  Raises:
    UserError: unsuitable data, or a step that certainly exceeds the memory.
  """
  loaded = loaded or splits.load(config)
  x, options = loaded['train'].x, config.optimizer
  steps_per_epoch = _steps_per_epoch(config, len(x))
  _check_divisible(options.batch_size, num_devices(mesh))
  preprocess = data.at_each_visit(make_preprocess(config, x))
  row = LIKELIHOODS[config.model.likelihood]
  refit = model is None and row.fits_sigma
  if model is None:
    facts: dict[str, Any] = {'data_mean': data.mean_example(x)}
    if 'data_scale' in row.statistics:
      facts['data_scale'] = data.scale_about_mean(x)
    model = make_vae(config.model, x.shape[1:], **facts)
  if optimizer is None:
    optimizer = make_optimizer(options, steps_per_epoch=steps_per_epoch)
  memory.check_fits(
    model,
    optimizer,
    jax.ShapeDtypeStruct(x.shape[1:], jnp.result_type(float)),
    batch_size=options.batch_size // num_devices(mesh),
    num_samples=config.objective.num_samples * config.objective.num_groups,
  )
  training = make_training(
    config, model, preprocess, x, optimizer, refit=refit, mesh=mesh
  )
  held_out = splits.preprocess(config, loaded['validation'].x)
  recipe = Recipe(
    **training._asdict(),
    validate=_make_validate(config, model, held_out, mesh),
    monitor=_make_monitor(config, model, held_out, mesh),
    num_examples=len(x),
    steps_per_epoch=steps_per_epoch,
    num_epochs=options.num_epochs,
    batch_size=options.batch_size,
    metric=OBJECTIVES[config.objective.objective].metric,
  )
  unsettled = functools.partial(_unsettled, config, model, x)
  # A sigma in closed form is optimal for the last batch, not for these.
  return RunParts(
    recipe, model, x.shape[1:], (lambda params: []) if refit else unsettled
  )


class Training(NamedTuple):
  """The fields of a `Recipe` that take gradient steps."""

  init: Init
  steps: Steps
  find_nonfinite: Callable[[RunState, int], NonFinite]
  measure: Callable[[RunState], dict[str, float]]


def make_training(
  config: Config,
  model: LatentModel,
  preprocess: data.Preprocess,
  x: Array | np.ndarray,
  optimizer: Optimizer | None = None,
  *,
  refit: bool = False,
  mesh: Mesh | None = None,
) -> Training:
  """Makes the initial state and the compiled steps over resident data.

  Args:
    config: options of the run.
    model: model to train.
    preprocess: from stored data to a batch, at each visit.
    x: training data as stored, `[N, ...]`, moved to every device.
    optimizer: optax transformation; None for the one of the options.
    refit: whether sigma is set in closed form before each step.
    mesh: devices over which batches are sharded; None for one.
  """
  options = config.optimizer
  per_epoch = len(x) // options.batch_size
  if optimizer is None:
    optimizer = make_optimizer(options, steps_per_epoch=per_epoch)
  init_key, order_key, train_key, norm_key = jax.random.split(
    jax.random.key(config.run.seed), 4
  )
  if mesh is None:
    x = jnp.asarray(x)
  x, *keys = place((x, order_key, train_key, norm_key), mesh)
  order_key, train_key, norm_key = keys
  step = make_train_step(
    make_loss(model, config.objective),
    optimizer,
    schedules=make_loss_schedules(config.objective, steps_per_epoch=per_epoch),
    refit=make_refit(model) if refit else None,
  )
  step, preprocess = shard_step(step, mesh), shard_preprocess(preprocess, mesh)
  skips = options.on_nonfinite == 'skip'
  steps = (make_skipping_steps if skips else make_steps)(step, preprocess)
  find = make_find_nonfinite(step, preprocess)
  norm = make_gradient_norm(step, preprocess)
  batches = make_resident(order_key, x, options.batch_size)
  some = x[: options.batch_size]

  def init() -> RunState:
    train = init_train_state(model.init(init_key), optimizer)
    metrics = make_metrics(step, preprocess)
    return init_run_state(
      train, jax.eval_shape(metrics, train_key, train, some)
    )

  return Training(
    init=init,
    steps=lambda state, n: steps(train_key, state, batches(state), n),
    find_nonfinite=lambda state, n: find(train_key, state, batches(state), n),
    # Of the same examples in every epoch.
    measure=lambda state: {GRAD_NORM: float(norm(norm_key, state.train, some))},
  )


def _steps_per_epoch(config: Config, num_examples: int) -> int:
  """Raises `UserError` if there is no step, or too many in the whole run."""
  options = config.optimizer
  if options.batch_size > num_examples:
    raise UserError(
      f'--batch_size: got {options.batch_size}, expected at most '
      f'{num_examples}, the training examples of {config.data.dataset}. Use '
      'smaller batches'
    )
  count = num_examples // options.batch_size
  if options.num_epochs * count > _MAX_STEPS:
    raise UserError(
      f'--num_epochs: got {options.num_epochs * count} steps, expected at most '
      f'{_MAX_STEPS}. Use fewer epochs'
    )
  return count


def _check_divisible(batch_size: int, devices: int) -> None:
  """Raises `UserError` if a batch cannot be divided among the devices."""
  if batch_size % devices:
    near = max(devices, batch_size // devices * devices)
    raise UserError(
      f'--batch_size: got {batch_size}, expected a multiple of {devices}, the '
      f'number of devices. Use --batch_size={near}, or other --num_devices'
    )


def _make_validate(
  config: Config,
  model: LatentModel,
  held_out: np.ndarray,
  mesh: Mesh | None = None,
) -> Any:
  evaluate_elbo = make_evaluate_elbo(model, mesh)
  evaluate_bound = make_evaluate_bound(model, config.objective, mesh)
  x = place(jnp.asarray(held_out), mesh)

  def validate(params: Params) -> dict[str, float]:
    keys = evaluation_keys()
    terms = evaluate_elbo(keys.elbo, params, x)
    bound = evaluate_bound(keys.nll, params, x)
    means = {name: jnp.mean(x) for name, x in terms._asdict().items()}
    return {name: float(mean) for name, mean in (means | bound).items()}

  return validate


def _unsettled(
  config: Config, model: LatentModel, x: np.ndarray, params: Params
) -> list[str]:
  """Compares scalar parameters on some training batches of the objective."""
  size = config.optimizer.batch_size
  count = max(1, min(_NUM_COMPARED, len(x)) // size)

  def make_batches() -> list[Array]:
    some = jnp.asarray(splits.preprocess(config, x[: count * size]))
    return jnp.split(some.astype(jnp.result_type(float)), count)

  loss = make_loss(model, config.objective)
  key = evaluation_keys().elbo
  return scalars.unsettled_scalars(loss, key, params, make_batches)


def _make_monitor(
  config: Config, model: LatentModel, held_out: np.ndarray, mesh: Mesh | None
) -> Any:
  if not config.run.monitor_gradients:
    return lambda epoch, params: {}
  few = jnp.asarray(held_out[: config.optimizer.batch_size], float)
  measure = monitor.make_monitor(model, few)

  def at_epoch(epoch: int, params: Params) -> dict[str, float]:
    if not monitor.is_due(epoch, config.optimizer.num_epochs):
      return {}
    return measure(evaluation_keys().gradients, fetch(params, mesh))

  return at_epoch
