"""The options of `train`, nested by concern."""

import dataclasses
from typing import Any

from vae_jax.errors import UserError
from vae_jax.runs.config.conflicts import conflicts
from vae_jax.runs.config.parts import (
  DataOptions,
  ModelOptions,
  ObjectiveOptions,
  OptimizerOptions,
  RunOptions,
)

# Options of a process, which no folder of a run records.
UNRECORDED = (
  *('distributed', 'coordinator', 'num_processes', 'process_id'),
  *('resume_with_changes', 'on_epoch'),
)
# Options that every config.json has; it may lack those that are younger. The
# last two are missing where the options are not nested, as before 0.1.0.
_FIRST = (
  *('dataset', 'data_dir', 'binarisation', 'num_validation', 'latent_dim'),
  *('hidden_sizes', 'activation', 'posterior', 'prior', 'likelihood', 'sigma'),
  *('objective', 'estimator', 'num_samples', 'num_groups', 'form', 'beta'),
  *('kl_warmup_epochs', 'free_bits', 'elbo_weight', 'alpha', 'num_epochs'),
  *('batch_size', 'learning_rate', 'schedule', 'on_nonfinite', 'seed'),
  *('workdir', 'monitor_gradients', 'nll_num_samples', 'checkpoint_seconds'),
  *('keep_checkpoints', 'platform'),
)
_FIRST_NESTED = ('network', 'optimizer')


@dataclasses.dataclass(frozen=True, init=False)
class Config:
  """A training run, complete and valid.

  `Config(latent_dim=2, objective='iwae')` takes options by the names of their
  flags; whole parts are given by theirs, `Config(model=ModelOptions(...))`.

  Raises:
    UserError: an impossible value, or options that exclude each other.
    TypeError: an unknown option, or one beside the whole part it belongs to.
  """

  data: DataOptions
  model: ModelOptions
  objective: ObjectiveOptions
  optimizer: OptimizerOptions
  run: RunOptions

  def __init__(self, **options: Any) -> None:
    for part in dataclasses.fields(type(self)):
      kind: Any = part.type
      if isinstance(options.get(part.name), kind):
        whole = options.pop(part.name)
      else:
        whole = None
      own = {
        field.name: options.pop(field.name)
        for field in dataclasses.fields(kind)
        if field.name in options
      }
      if whole is not None and own:
        raise TypeError(
          f'Config: got {", ".join(own)} beside the whole part {part.name}: '
          'use config.replace(...)'
        )
      object.__setattr__(self, part.name, whole or kind(**own))
    if options:
      raise TypeError(f'Config: unknown option {next(iter(options))!r}')
    for problem in conflicts(self):
      raise UserError(problem)

  def flat(self) -> dict[str, Any]:
    """Returns flag name -> value of every option."""
    return {
      field.name: getattr(getattr(self, part.name), field.name)
      for part in dataclasses.fields(self)
      for field in dataclasses.fields(part.type)  # type: ignore[arg-type]
    }

  def replace(self, **options: Any) -> 'Config':
    """Returns a config with other values of some options, by flag name."""
    return Config(**(self.flat() | options))

  def record(self) -> dict[str, Any]:
    """Returns the nested options, as config.json holds them."""
    return dataclasses.asdict(self)

  @classmethod
  def from_record(cls, record: dict[str, Any]) -> 'Config':
    """Reads the options of config.json, nested, or flat as before 0.1.0.

    Raises:
      UserError: options are missing or impossible.
    """
    flat, given = cls().flat(), dict(record)
    expected: tuple[str, ...] = _FIRST
    if 'dataset' not in record:
      given = {}
      for part in dataclasses.fields(cls):
        values = record.get(part.name)
        given |= values if isinstance(values, dict) else {}
      expected += _FIRST_NESTED
    missing = [x for x in expected if x not in given]
    if missing:
      raise UserError(f'it has no {", ".join(missing)}')
    as_option = lambda x: tuple(x) if isinstance(x, list) else x
    return cls(
      **{name: as_option(given[name]) for name in flat if name in given}
    )
