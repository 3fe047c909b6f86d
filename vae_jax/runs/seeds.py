"""Runs of many seeds: what each seed has, joined, and metrics by seed."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.runs.config import Config
from vae_jax.training import seeds
from vae_jax.training.epoch import Batches, RunState, epoch_metrics
from vae_jax.training.steps import NonFinite, Steps
from vae_jax.types import Array, Key, Params

# Metrics of a model, as numbers.
Measure = Callable[..., dict[str, float]]
# Whole numbers that depend on the seed, by the start of their names, as those
# of each layer add its name; the others are options or sizes.
_COUNTED = ('active_units', 'skipped_steps')


class Seeded(NamedTuple):
  """The parts of a training that depend on its seed, or on its seeds.

  Attributes:
    init: `init() -> state` before the first step.
    train_key: parent of the keys of the steps, `[]`, or `[S]` of many seeds.
    batches: `batches(state)` of the present block of an epoch.
    measure: `measure(state) -> metrics` logged once per epoch.
    steps_per_block: number of steps that `batches` covers.
  """

  init: Callable[[], RunState]
  train_key: Key
  batches: Callable[[RunState], Batches]
  measure: Callable[[RunState], dict[str, float]]
  steps_per_block: int


def seeds_of(config: Config) -> range:
  """Returns the seeds of a run, s to s + S - 1."""
  options = config.run
  return range(options.seed, options.seed + options.num_seeds)


def in_words(numbers: range) -> str:
  """Returns a phrase such as 'seeds 0 to 7'."""
  return f'seeds {numbers[0]} to {numbers[-1]}'


def describe(config: Config) -> list[str]:
  """Returns a line on the seeds of a run of many; [] for one."""
  numbers = seeds_of(config)
  if len(numbers) == 1:
    return []
  return [
    f'{in_words(numbers)} in one program: metrics are means over the seeds, '
    'and examples/s those of each'
  ]


def join(numbers: range, each: Sequence[Seeded]) -> Seeded:
  """Joins the parts of several seeds; those of one stay as they are."""
  if len(each) == 1:
    return each[0]
  return Seeded(
    # Each by itself, as a run of one seed does: the same bits.
    init=lambda: seeds.stack([one.init() for one in each]),
    train_key=jnp.stack([one.train_key for one in each]),
    batches=lambda state: seeds.stack_batches([x.batches(state) for x in each]),
    measure=lambda state: by_seed(
      numbers,
      [one.measure(seeds.take(state, i)) for i, one in enumerate(each)],
    ),
    steps_per_block=each[0].steps_per_block,
  )


def vectorise(
  numbers: range, steps: Steps, find: Callable[..., NonFinite]
) -> tuple[Steps, Callable[..., Any]]:
  """Returns the steps of all seeds, and the search for one not finite."""
  if len(numbers) == 1:
    return steps, find
  (device,) = jnp.zeros(()).devices()
  every = seeds.over_seeds(steps, together=device.platform != 'cpu')

  def take_steps(*args: Any) -> tuple[RunState, Array]:
    state, finite = every(*args)
    return state, jnp.all(finite)

  return take_steps, seeds.find_over_seeds(find, every, numbers)


def by_seed(
  numbers: range, each: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
  """Joins the metrics of several seeds, as metrics.jsonl holds them.

  Args:
    numbers: the seeds.
    each: flat metrics of each seed, by the same names.

  Returns:
    name -> mean over the seeds, then `<name>_seed<number>` -> the value of one
    seed. A whole number that no seed changes, such as K, is there once.
  """
  names = [*each[0]]
  if any([*one] != names for one in each):
    raise ValueError(f'metrics differ by seed: {[[*one] for one in each]}')
  shared = [
    name
    for name in names
    if isinstance(each[0][name], int) and not name.startswith(_COUNTED)
  ]
  means = {name: sum(one[name] for one in each) / len(each) for name in names}
  return (
    means
    | {name: each[0][name] for name in shared}
    | {
      f'{name}_seed{number}': one[name]
      for name in names
      if name not in shared
      for number, one in zip(numbers, each, strict=True)
    }
  )


def metrics_of_seed(metrics: Mapping[str, Any], number: int) -> dict[str, Any]:
  """Returns the metrics of one seed of what `by_seed` returned."""
  own = f'_seed{number}'
  shared = {k: x for k, x in metrics.items() if '_seed' not in k}
  return shared | {
    k.removesuffix(own): x for k, x in metrics.items() if k.endswith(own)
  }


def measure_each(config: Config, measure: Measure) -> Measure:
  """Returns `measure(..., params)` for the stacked parameters of the seeds."""
  numbers = seeds_of(config)
  if len(numbers) == 1:
    return measure

  def measure_all(*args: Any) -> dict[str, float]:
    *others, params = args
    return by_seed(
      numbers,
      [
        measure(*others, seeds.take_one(params, i)) for i in range(len(numbers))
      ],
    )

  return measure_all


def warn_each(
  config: Config, warnings: Callable[[Params], list[str]]
) -> Callable[[Params], list[str]]:
  """Returns `warnings(params)` for stacked parameters, with the seeds."""
  numbers = seeds_of(config)
  if len(numbers) == 1:
    return warnings
  return lambda params: [
    f'seed {number}: {line}'
    for i, number in enumerate(numbers)
    for line in warnings(seeds.take_one(params, i))
  ]


def metrics_of_epoch(config: Config, state: RunState, num_steps: int) -> Any:
  """Returns the mean metrics over the steps of an epoch, by seed."""
  numbers = seeds_of(config)
  if len(numbers) == 1:
    return epoch_metrics(state, num_steps)
  sums, skipped = jax.device_get((state.sums, state.skipped))
  state = state._replace(sums=sums, skipped=skipped)
  none = {'skipped_steps': 0} if skipped.any() else {}
  return by_seed(
    numbers,
    [
      none | epoch_metrics(seeds.take(state, i), num_steps)
      for i in range(len(numbers))
    ],
  )
