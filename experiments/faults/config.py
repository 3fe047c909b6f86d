"""Options of the fault injection."""

import dataclasses

from vae_jax.runs.config import shared
from vae_jax.runs.config.options import option, validate


@dataclasses.dataclass(frozen=True)
class FaultInjectionConfig:
  """Faults injected into a training run. Raises `UserError` like `Config`."""

  workdir: str = option(
    'runs/fault_injection', 'folder of the runs', shared.RUN
  )
  num_kills: int = option(
    50,
    'number of SIGKILLs, half of them during the write of a checkpoint',
    shared.LAB,
    at_least=0,
  )
  num_stops: int = option(20, 'number of SIGTERMs', shared.LAB, at_least=0)
  num_flips: int = option(
    300, 'number of bit flips in checkpoint files', shared.LAB, at_least=0
  )
  num_truncations: int = option(
    100, 'number of truncated checkpoint files', shared.LAB, at_least=0
  )
  num_epochs: int = option(
    1000,
    'epochs of the run; enough for the run to outlast all kills',
    shared.LAB,
    at_least=1,
    at_most=shared.MANY,
  )
  seed: int = shared.seed
  platform: str = shared.platform

  def __post_init__(self) -> None:
    validate(self)
