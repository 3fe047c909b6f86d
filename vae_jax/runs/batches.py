"""Sizes of batches that data, seeds and devices admit."""

from vae_jax import data
from vae_jax.errors import UserError
from vae_jax.runs.config import Config

# Steps are counted in 32 bits.
_MAX_STEPS = 2**31 - 1


def steps_per_epoch_of(config: Config, num_examples: int) -> int:
  """Returns the steps of an epoch.

  Raises:
    UserError: there is none, or there are too many in the whole run.
  """
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


def check_shared(config: Config, x: data.Examples, devices: int) -> None:
  """Raises `UserError` if seeds or devices cannot share data or batches."""
  # Data on disk are read in one order, and each seed has its own.
  if config.run.num_seeds > 1 and isinstance(x, data.Streamed):
    raise UserError(
      f'--num_seeds: got {config.run.num_seeds} with training images on disk '
      f'(--stream={config.data.stream}), expected 1. Train one seed per run'
    )
  batch_size = config.optimizer.batch_size
  if batch_size % devices:
    near = max(devices, batch_size // devices * devices)
    raise UserError(
      f'--batch_size: got {batch_size}, expected a multiple of {devices}, the '
      f'number of devices. Use --batch_size={near}, or other --num_devices'
    )
