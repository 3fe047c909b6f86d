"""The recipe of a run: data, model, loss and optimizer as functions."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from vae_jax import data
from vae_jax.evaluate import (
  evaluation_keys,
  make_evaluate_bound,
  make_evaluate_classification,
  make_evaluate_elbo,
  take,
)
from vae_jax.models import LIKELIHOODS, LatentModel
from vae_jax.models.semi_supervised import SemiSupervisedVAE
from vae_jax.objectives import OBJECTIVES
from vae_jax.runs import examples, memory, monitor, scalars, seeds, splits
from vae_jax.runs.batches import check_shared, steps_per_epoch_of
from vae_jax.runs.choose import make_choose
from vae_jax.runs.config import Config
from vae_jax.runs.config.conflicts import first_of
from vae_jax.runs.functions import Recipe
from vae_jax.runs.missing import filled
from vae_jax.runs.model import make_model
from vae_jax.runs.preprocess import make_preprocess
from vae_jax.runs.steps import (
  Training,
  make_indices,
  make_loss_of,
  make_training,
)
from vae_jax.training import make_optimizer
from vae_jax.training.mesh import fetch, num_devices, place
from vae_jax.training.optimizer import Optimizer
from vae_jax.types import Params

# Training examples on which scalar parameters are compared at the end.
_NUM_COMPARED = 1000
# (model, shape of one x, condition) -> initial parameters, None for `init`
WarmStart = Callable[
  [LatentModel, tuple[int, ...], data.Condition | None], Params | None
]


class RunParts(NamedTuple):
  """Everything that a run needs in memory.

  Attributes:
    recipe: functions of the training loop.
    model: model that is trained.
    data_shape: shape of one x.
    unsettled: trained params -> sentences on scalars that are still moving.
    condition: facts of the training conditions; None without them.
  """

  recipe: Recipe
  model: LatentModel
  data_shape: tuple[int, ...]
  unsettled: Callable[[Params], list[str]]
  condition: data.Condition | None = None


def make_run(
  config: Config,
  loaded: splits.Splits | None = None,
  *,
  model: LatentModel | None = None,
  optimizer: Optimizer | None = None,
  mesh: Mesh | None = None,
  warm_start: WarmStart | None = None,
) -> RunParts:
  """Makes the functions of a run.

  Args:
    config: options of the run.
    loaded: its splits as stored, standardised where the options ask for it;
      None to load them.
    model: model that replaces the one of `config.model`; its examples are
      the preprocessed x of the data set.
    optimizer: optax transformation that replaces `config.optimizer`'s.
    mesh: devices over which batches are sharded; None for one. The state is
      that of `place`.
    warm_start: returns the initial parameters; None for `model.init`.

  Raises:
    UserError: unsuitable data, or a step that certainly exceeds the memory.
  """
  if loaded is None:
    loaded, _ = splits.standardised(config, splits.load(config))
  train, options = loaded['train'], config.optimizer
  x = filled(train.x)
  steps_per_epoch = steps_per_epoch_of(config, len(x))
  check_shared(config, x, num_devices(mesh))
  condition = examples.fit_condition(config, train)
  stored = examples.of_split(config, condition, x, train)
  # What the report would refuse is refused before the training.
  examples.of_split(config, condition, loaded['test'].x, loaded['test'])
  visit = data.at_each_visit(make_preprocess(config, x))
  preprocess = examples.each_visit(visit, stored)
  refit = model is None and LIKELIHOODS[config.model.likelihood].fits_sigma
  if model is None:
    model = make_model(config, x, condition, stored)
  if optimizer is None:
    optimizer = make_optimizer(options, steps_per_epoch=steps_per_epoch)
  one, draws = _shape_of_one(x, stored), _samples(config, condition)
  _check_memory(config, model, optimizer, one, draws, mesh)
  start = warm_start and warm_start(model, x.shape[1:], condition)
  how: Any = {'refit': refit, 'mesh': mesh, 'params': start}
  training = make_training(config, model, preprocess, stored, optimizer, **how)
  held_out = splits.prepare(config, condition, loaded['validation'])
  recipe = _make_recipe(config, model, training, held_out, len(x), mesh)
  warn = functools.partial(_unsettled, config, model, condition, train, stored)
  # A sigma in closed form is optimal for the last batch, not for these.
  unsettled = (lambda params: []) if refit else seeds.warn_each(config, warn)
  return RunParts(recipe, model, x.shape[1:], unsettled, condition)


def _make_recipe(
  config: Config,
  model: LatentModel,
  training: Training,
  held_out: Any,
  num_examples: int,
  mesh: Mesh | None,
) -> Recipe:
  """Joins what trains, validates and counts."""
  options = config.optimizer
  return Recipe(
    **training._asdict(),
    validate=_make_validate(config, model, held_out, mesh),
    monitor=_make_monitor(config, model, held_out, mesh),
    choose=make_choose(
      config, model, held_out, steps_per_epoch_of(config, num_examples), mesh
    ),
    average=functools.partial(seeds.metrics_of_epoch, config),
    num_examples=num_examples,
    steps_per_epoch=steps_per_epoch_of(config, num_examples),
    num_epochs=options.num_epochs,
    batch_size=options.batch_size,
    patience=options.patience,
    metric=OBJECTIVES[config.objective.objective].metric,
  )


def _check_memory(
  config: Config,
  model: LatentModel,
  optimizer: Optimizer,
  one: Any,
  draws: int,
  mesh: Mesh | None,
) -> None:
  memory.check_fits(
    model,
    optimizer,
    one,
    batch_size=config.optimizer.batch_size // num_devices(mesh),
    num_samples=draws,
    num_seeds=config.run.num_seeds,
    ema=config.optimizer.ema,
  )


def _samples(config: Config, condition: data.Condition | None) -> int:
  """Returns the latent samples of a step; those of M2 for every class."""
  options = config.objective
  count = options.num_samples * options.num_groups
  if config.data.num_labelled and condition:
    count *= condition.num_classes
  return count


def _shape_of_one(x: data.Examples, stored: Any) -> Any:
  """Returns the shapes of one example as the model takes it."""
  one = jax.ShapeDtypeStruct(x.shape[1:], jnp.result_type(float))
  if not isinstance(stored, dict):
    return one
  shape_of = lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype)
  return {**jax.tree.map(shape_of, stored), 'x': one}


def _make_validate(
  config: Config,
  model: LatentModel,
  held_out: Any,
  mesh: Mesh | None = None,
) -> Any:
  evaluate_elbo = make_evaluate_elbo(model, mesh)
  evaluate_bound = make_evaluate_bound(model, first_of(config).objective, mesh)
  classify = make_classify(model)
  x = place(jax.tree.map(jnp.asarray, held_out), mesh)

  def validate(params: Params) -> dict[str, float]:
    keys = evaluation_keys()
    terms = evaluate_elbo(keys.elbo, params, x)
    bound = evaluate_bound(keys.nll, params, x)
    means = {name: jnp.mean(x) for name, x in terms._asdict().items()}
    means |= bound | classify(params, x)
    return {name: float(mean) for name, mean in means.items()}

  return seeds.measure_each(config, validate)


def make_classify(model: LatentModel) -> Callable[..., dict[str, Any]]:
  """Makes the metrics of a classifier; {} for a model without one."""
  if not isinstance(model, SemiSupervisedVAE):
    return lambda params, x: {}
  evaluate = make_evaluate_classification(model)

  def classify(params: Params, x: Any) -> dict[str, Any]:
    found = evaluate(evaluation_keys().elbo, params, x)
    return {
      'unlabelled_elbo': jnp.mean(found.unlabelled_elbo),
      'classification_error': jnp.mean(found.error),
    }

  return classify


def _unsettled(
  config: Config,
  model: LatentModel,
  condition: data.Condition | None,
  train: data.Split,
  stored: Any,
  params: Params,
) -> list[str]:
  """Compares scalar parameters on some training batches of the objective."""
  size = config.optimizer.batch_size
  count = max(1, min(_NUM_COMPARED, len(train.x)) // size)

  def make_batches() -> list[Any]:
    rows: Any = slice(count * size)
    # The order of batches of which some labels are seen; those of one seed.
    if indices := make_indices(config, stored, config.run.seed):
      order = indices(jax.random.key(config.run.seed), 0)
      rows = np.asarray(order[:count]).ravel()
    some = train.take(rows)
    held = data.in_memory('train', some)
    found = examples.as_real(splits.prepare(config, condition, held))
    part = lambda i: slice(i * size, (i + 1) * size)
    return [take(found, part(i)) for i in range(count)]

  loss = make_loss_of(config, model, len(train.x))
  key = evaluation_keys().elbo
  return scalars.unsettled_scalars(loss, key, params, make_batches)


def _make_monitor(
  config: Config, model: LatentModel, held_out: Any, mesh: Mesh | None
) -> Any:
  if not config.run.monitor_gradients:
    return lambda epoch, params: {}
  few = examples.as_real(take(held_out, slice(config.optimizer.batch_size)))
  measure = monitor.make_monitor(model, few)

  def at_epoch(epoch: int, params: Params) -> dict[str, float]:
    if not monitor.is_due(epoch, config.optimizer.num_epochs):
      return {}
    return measure(evaluation_keys().gradients, fetch(params, mesh))

  return seeds.measure_each(config, at_epoch)
