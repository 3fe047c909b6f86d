"""Devices that compute a command, as its options choose them."""

from typing import Any, NamedTuple

from jax.sharding import Mesh

from vae_jax.io import devices
from vae_jax.training.mesh import make_mesh


class Hardware(NamedTuple):
  """Devices of a command.

  Attributes:
    words: platform, kind and number of the devices, for messages.
    mesh: devices over which examples are sharded; None for one device.
  """

  words: str
  mesh: Mesh | None


def set_up(options: Any) -> Hardware:
  """Chooses the devices of a command.

  Args:
    options: has the fields `platform` and `num_devices`.

  Raises:
    UserError: jax does not find them.
  """
  words = devices.select(options.platform)
  chosen = devices.choose(options.platform, options.num_devices)
  if len(chosen) == 1:
    return Hardware(words, None)
  first = chosen[0]
  words = f'{len(chosen)} {first.platform} devices ({first.device_kind})'
  return Hardware(words, make_mesh(chosen))
