"""Choice of the devices for jax."""

import jax

from vae_jax.errors import UserError, installation


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
    device, *others = _own(jax.devices(_backend(platform)))
    # Setting `jax_platforms=cuda,cpu` would silently fall back to the CPU.
    jax.config.update('jax_default_device', device)
  except (AssertionError, RuntimeError) as error:
    # jax asserts where JAX_PLATFORMS names a platform of another machine.
    only = getattr(jax.config, 'jax_platforms', '')
    reason = ' '.join(str(error).split())[:200] or f'JAX_PLATFORMS={only}'
    hint, extra = '', {'gpu': 'cuda', 'tpu': 'tpu'}.get(platform)
    if extra:
      hint = (
        f'; EXTRAS={extra} ./launch.sh ..., or {installation(extra)}, installs '
        'its support'
      )
    raise UserError(
      f'--platform={platform}: jax finds no such device ({reason}){hint}'
    ) from None
  if platform != 'auto' and device.platform not in (platform, 'cuda', 'rocm'):
    raise UserError(f'--platform={platform}: jax would use {device.platform}')
  which = f', one of {len(others) + 1} devices' if others else ''
  return f'{device.platform} ({device.device_kind}{which})'


def choose(platform: str, count: int) -> list[jax.Device]:
  """Returns the first devices of each process, after `select`.

  Args:
    platform: as for `select`.
    count: number of devices per process, 0 for all.

  Raises:
    UserError: there are fewer.
  """
  present = jax.devices(_backend(platform))
  own = _own(present)
  if count > len(own):
    raise UserError(
      f'--num_devices: got {count}, expected at most {len(own)}, the '
      f'{own[0].platform} devices that jax finds. Use --num_devices=0 for all'
    )
  groups: dict[int, list[jax.Device]] = {}
  for device in present:
    groups.setdefault(device.process_index, []).append(device)
  return [each for group in groups.values() for each in group[: count or None]]


def _own(present: list[jax.Device]) -> list[jax.Device]:
  """Returns the devices of this process."""
  index = jax.process_index()
  return [device for device in present if device.process_index == index]


def _backend(platform: str) -> str | None:
  return None if platform == 'auto' else platform
