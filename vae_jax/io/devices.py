"""Choice of the devices for jax."""

import jax

from vae_jax.errors import UserError


def select(platform: str) -> str:
  """Makes a platform the default of jax, without falling back to another.

  Args:
    platform: 'cpu', 'gpu' or 'tpu'; 'auto' for the default of jax.

  Returns:
    Platform and kind of the device, for messages.

  Raises:
    UserError: jax finds no such device.
  """
  try:
    if platform == 'cpu':
      # Set before jax starts a backend, because a GPU backend would
      # preallocate memory.
      jax.config.update('jax_platforms', 'cpu')
    device, *others = jax.devices(None if platform == 'auto' else platform)
    # Setting `jax_platforms=cuda,cpu` would silently fall back to the CPU.
    jax.config.update('jax_default_device', device)
  except (AssertionError, RuntimeError) as error:
    # jax asserts where JAX_PLATFORMS names a platform of another machine.
    only = getattr(jax.config, 'jax_platforms', '')
    reason = ' '.join(str(error).split())[:200] or f'JAX_PLATFORMS={only}'
    extra = {'gpu': 'EXTRAS=cuda', 'tpu': 'EXTRAS=tpu'}.get(platform, '')
    hint = f'; {extra} ./launch.sh ... installs its support' if extra else ''
    raise UserError(
      f'--platform={platform}: jax finds no such device ({reason}){hint}'
    ) from None
  if platform != 'auto' and device.platform not in (platform, 'cuda', 'rocm'):
    raise UserError(f'--platform={platform}: jax would use {device.platform}')
  which = f', one of {len(others) + 1} devices' if others else ''
  return f'{device.platform} ({device.device_kind}{which})'


def choose(platform: str, count: int) -> list[jax.Device]:
  """Returns the first devices of a platform, after `select`.

  Args:
    platform: as for `select`.
    count: number of devices, 0 for all.

  Raises:
    UserError: there are fewer.
  """
  present = jax.devices(None if platform == 'auto' else platform)
  if count > len(present):
    kind = present[0].platform
    raise UserError(
      f'--num_devices: got {count}, expected at most {len(present)}, the '
      f'{kind} devices that jax finds. Use --num_devices=0 for all of them'
    )
  return present[: count or None]
