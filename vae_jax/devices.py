"""The choice of the device that jax runs on."""

import jax

from vae_jax.errors import UserError


def select(platform: str) -> str:
  """Makes jax use `platform`, and says in words what that is.

  Args:
    platform: 'cpu', 'gpu' or 'tpu', or 'auto' for what jax finds best.

  Raises:
    UserError: jax finds no such device. It never falls back to another.
  """
  try:
    if platform == 'cpu':
      # Before any backend starts, so that none takes a GPU's memory.
      jax.config.update('jax_platforms', 'cpu')
    device = jax.devices(None if platform == 'auto' else platform)[0]
    # `jax_platforms=cuda,cpu` would run on the CPU without a word.
    jax.config.update('jax_default_device', device)
  except RuntimeError as error:
    reason = ' '.join(str(error).split())[:200]
    extra = {'gpu': 'EXTRAS=cuda', 'tpu': 'EXTRAS=tpu'}.get(platform, '')
    hint = f'; {extra} ./launch.sh ... installs its support' if extra else ''
    raise UserError(
      f'--platform={platform}: jax finds no such device ({reason}){hint}'
    ) from None
  if platform != 'auto' and device.platform not in (platform, 'cuda', 'rocm'):
    raise UserError(f'--platform={platform}: jax would use {device.platform}')
  return f'{device.platform} ({device.device_kind})'
