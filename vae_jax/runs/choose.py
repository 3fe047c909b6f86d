"""The choice of the gradient estimator in a run, `--estimator=auto`."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from jax.sharding import Mesh

from vae_jax.evaluate import evaluation_keys, take
from vae_jax.evaluate.chooser import Choice, Surrogate, make_chooser
from vae_jax.models import LatentModel
from vae_jax.runs import examples
from vae_jax.runs.config import Config
from vae_jax.runs.config.auto import is_auto, with_estimator
from vae_jax.runs.config.conflicts import estimators_of
from vae_jax.runs.functions import ESTIMATOR, Choose, Chosen
from vae_jax.training import make_loss
from vae_jax.training.epoch import RunState
from vae_jax.training.mesh import fetch
from vae_jax.types import Array, Key, Params

# Name of the chosen estimator in a line of metrics.jsonl.
CHOSEN = 'chosen'
_PARTS = 10
# Validation examples whose bound is differentiated, and gradients per
# estimator: 16 groups of 4.
_EXAMPLES, _GRADIENTS = 16, 64

# Groups of parameters whose gradients differ by estimator.
_DIFFER = ('encoder', 'prior')

Lines = Sequence[Mapping[str, Any]]


def is_due(epoch: int, num_epochs: int) -> bool:
  """Returns whether a tenth of the run begins after `epoch` epochs.

  Of fewer than ten epochs each begins one.
  """
  part = lambda count: count * _PARTS // num_epochs
  return epoch == 0 or part(epoch) > part(epoch - 1)


@dataclasses.dataclass(frozen=True)
class _EpochChoice:
  """Chooses the estimator before the steps of an epoch.

  Attributes:
    names: the candidates.
    measure: (completed epochs, params) -> their variance and cost.
    objective: bound and K, as logged.
    num_epochs: epochs of the run.
    steps_per_epoch: steps of an epoch.
    selected: estimators that this process has selected.
  """

  names: tuple[str, ...]
  measure: Callable[[int, Params], Choice]
  objective: dict[str, Any]
  num_epochs: int
  steps_per_epoch: int
  selected: list[str] = dataclasses.field(default_factory=list)

  def __call__(
    self,
    state: RunState,
    read: Callable[[], list[dict[str, Any]]],
    agree: Callable[[int], int],
  ) -> Chosen | None:
    epoch = int(state.epoch)
    begins = int(state.train.step) == epoch * self.steps_per_epoch
    due = begins and is_due(epoch, self.num_epochs)
    if self.selected and not due:
      return None
    # That of process 0, which alone has the log.
    logged = agree(self._logged(read(), epoch if due else None))
    if logged >= 0:
      name = self.names[logged]
      chosen = Chosen(name, f'estimator: {name}, as chosen before', {})
    else:
      chosen = self._measured(epoch, state.train.params, agree)
    self.selected.append(chosen.name)
    return chosen

  def _measured(
    self, epoch: int, params: Params, agree: Callable[[int], int]
  ) -> Chosen:
    try:
      choice = self.measure(epoch, params)
    except FloatingPointError as error:
      name = [self.names[0], *self.selected][-1]
      words = f'estimator: {name}; not measured, {error}'
      return Chosen(name, words, {CHOSEN: name, **self.objective})
    best = self.names[agree(self.names.index(choice.best))]
    record = {CHOSEN: best, **self.objective, **_numbers(choice)}
    return Chosen(best, _in_words(choice, best), record)

  def _logged(self, lines: Lines, epoch: int | None) -> int:
    """Returns the index of the logged choice, of one epoch or the last; -1."""
    found = [
      line[CHOSEN]
      for line in lines
      if line['split'] == ESTIMATOR
      and epoch in (None, line['epoch'])
      # A resumed run may have another bound on purpose.
      and self.objective.items() <= line.items()
    ]
    if not found or found[-1] not in self.names:
      return -1
    return self.names.index(found[-1])


def make_choose(
  config: Config,
  model: LatentModel,
  held_out: Any,
  steps_per_epoch: int,
  mesh: Mesh | None = None,
) -> Choose:
  """Makes the choice among the estimators of a run.

  The estimators are measured at the parameters in which a tenth of the epochs
  begins, on the first validation examples, with keys of their own: a run that
  is resumed there measures the same numbers. One that is resumed later reads
  the choice in metrics.jsonl.

  Args:
    config: options of the run.
    model: its model.
    held_out: validation examples as the likelihood takes them.
    steps_per_epoch: steps of an epoch.
    mesh: devices of the run; each process measures for itself, and takes what
      process 0 has chosen.

  Returns:
    The field `choose` of a `Recipe`; without `--estimator=auto` nothing is
    chosen.
  """
  if not is_auto(config):
    return lambda state, read, agree: None
  names = estimators_of(config)
  few = examples.as_real(take(held_out, slice(_EXAMPLES)))

  @functools.cache
  def chooser() -> Callable[[Key, Params], Choice]:
    surrogates = {
      name: _surrogate(with_estimator(config, name), model, few)
      for name in names
    }
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    budget = _GRADIENTS * (len(names) + 1)
    return make_chooser(surrogates, shapes, budget=budget, trusted=True)

  def measure(epoch: int, params: Params) -> Choice:
    key = jax.random.fold_in(evaluation_keys().gradients, epoch)
    return chooser()(key, fetch(params, mesh))

  options = config.objective
  bound = {'objective': options.objective, 'num_samples': options.num_samples}
  num_epochs = config.optimizer.num_epochs
  return _EpochChoice(names, measure, bound, num_epochs, steps_per_epoch)


def _surrogate(config: Any, model: LatentModel, few: Any) -> Surrogate:
  """Makes the bound of a few examples as a function of encoder and p(z).

  The gradient of the decoder is that of one estimator as of another.
  """
  loss = make_loss(model, config.objective)

  def surrogate(key: Key, params: Params) -> Array:
    others = {
      name: jax.lax.stop_gradient(x)
      for name, x in params.items()
      if name not in _DIFFER
    }
    return loss(key, {**params, **others}, few)[0]

  return surrogate


def _numbers(choice: Choice) -> dict[str, Any]:
  return {
    name: {
      'variance': score.variance,
      'cost': score.cost,
      'variance_times_cost': score.variance_times_cost,
      'probability': score.probability,
    }
    for name, score in choice.table.items()
  }


def table(lines: Lines) -> list[tuple[str, str]]:
  """Returns the choices of a run, as rows of its report; [] without any."""
  rows = []
  for line in lines:
    if line['split'] == ESTIMATOR:
      end = '_variance_times_cost'
      costs = {
        name.removesuffix(end): value
        for name, value in line.items()
        if name.endswith(end)
      }
      each = ', '.join(f'{name} {value:.3g}' for name, value in costs.items())
      words = f'{line[CHOSEN]}; variance x cost: {each}'
      rows.append((f'from epoch {line["epoch"] + 1}', words))
  return rows


def _in_words(choice: Choice, best: str) -> str:
  others = {n: s for n, s in choice.table.items() if n != best}
  next_best = min(others, key=lambda n: others[n].variance_times_cost.mean)
  own = choice.table[best]
  ratio = own.variance_times_cost.mean / max(
    others[next_best].variance_times_cost.mean, 1e-300
  )
  return (
    f'estimator: {best}, variance x cost {ratio:.3g} times that of '
    f'{next_best}; P(best) {own.probability:.3f}'
  )
