"""A training run as functions and counts, for the loop."""

from collections.abc import Callable
from typing import Any, NamedTuple

from vae_jax.training.epoch import RunState, epoch_metrics
from vae_jax.training.steps import NonFinite
from vae_jax.types import Array, Params

Init = Callable[[], RunState]
Steps = Callable[[RunState, int], tuple[RunState, Array]]

# Split of the records of `Recipe.monitor` in metrics.jsonl.
GRADIENTS = 'gradients'
# Split of the records of `Recipe.choose`.
ESTIMATOR = 'estimator'


class Chosen(NamedTuple):
  """The estimator of the next steps.

  Attributes:
    name: its name.
    words: line to print.
    record: what metrics.jsonl says of the choice; {} if it does so already.
  """

  name: str
  words: str
  record: dict[str, Any]


# (state, reads the lines of metrics.jsonl, `Recipe.agree`) -> choice, or None
Choose = Callable[
  [RunState, Callable[[], list[dict[str, Any]]], Callable[[int], int]],
  Chosen | None,
]


class Recipe(NamedTuple):
  """A training run as functions and counts.

  Attributes:
    init: `init() -> state` before the first step.
    steps: `steps(state, count) -> (state, finite)` takes `count` steps within
      the epoch, as `make_steps` does; it does not donate the state.
    validate: `validate(params) -> metrics` of the validation split; 'elbo' is
      among them.
    num_examples: examples of the training split.
    steps_per_epoch: gradient steps per epoch.
    num_epochs: epochs of the whole run.
    batch_size: examples per gradient step.
    metric: name of the training metric that carries the bound.
    find_nonfinite: `find_nonfinite(state, count)` takes the steps again, and
      returns the first that is not finite.
    steps_per_block: number of steps whose examples are in memory together; a
      call ends at a multiple of it within the epoch. 0: the whole epoch.
    measure: `measure(state) -> metrics` that are logged with the training
      metrics of the epoch, such as the norm of the gradient.
    monitor: `monitor(epoch, params) -> metrics` of the gradient, {} for none.
    average: `average(state, num_steps) -> metrics` of the epoch's steps so far.
    choose: `choose(state, read, agree)`, before the steps of an epoch and at
      a start, returns the estimator to select; None where it stays.
    select: selects the estimator of the steps, by name.
    agree: number of steps of the next call -> that of all processes.
    on_epoch: is called with the logged numbers of each completed epoch, by
      name: 'epoch', 'step', and those of each split such as 'train/elbo'.
    patience: epochs without a higher validation ELBO after which the training
      stops early; 0 for never.
  """

  init: Init
  steps: Steps
  validate: Callable[[Params], dict[str, float]]
  num_examples: int
  steps_per_epoch: int
  num_epochs: int
  batch_size: int
  metric: str
  find_nonfinite: Callable[[RunState, int], NonFinite]
  steps_per_block: int = 0
  measure: Callable[[RunState], dict[str, float]] = lambda state: {}
  monitor: Callable[[int, Params], dict[str, float]] = lambda epoch, params: {}
  average: Callable[[RunState, int], dict[str, float]] = epoch_metrics
  choose: Choose = lambda state, read, agree: None
  select: Callable[[str], None] = lambda name: None
  agree: Callable[[int], int] = lambda count: count
  patience: int = 0
  on_epoch: Callable[[dict[str, float]], None] = lambda numbers: None
