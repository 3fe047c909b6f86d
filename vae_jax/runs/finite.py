"""Check that the metrics of an epoch are finite."""

import math

from vae_jax.errors import UserError
from vae_jax.runs.folder import RunFolder


def check_epoch(
  metric: str,
  folder: RunFolder,
  step: int,
  metrics: dict[str, float],
  validation: dict[str, float],
) -> None:
  """Raises `UserError` where an epoch's metrics are not finite.

  Args:
    metric: start of the names of the training metrics that must be finite.
    folder: folder of the run, for the message.
    step: step after the epoch.
    metrics: training metrics.
    validation: validation metrics.
  """
  found = {
    f'the training {name}': value
    for name, value in metrics.items()
    if name.startswith(metric)  # Also by seed.
  } | {f'the validation {name}': value for name, value in validation.items()}
  bad = [f'{name} is {x}' for name, x in found.items() if not math.isfinite(x)]
  if bad:
    raise UserError(
      f'step {step}: {", ".join(bad)}, expected finite numbers; '
      f'{folder.last_good()}. Use a smaller --learning_rate'
    )
