"""Refusing what no memory can hold, before the system kills the process."""

import math
import os
from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.config import Config
from vae_jax.errors import UserError
from vae_jax.model import VAE


def check_fits(config: Config, vae: VAE, data_shape: tuple[int, ...]) -> None:
  """Raises `UserError` if a step certainly takes more memory than there is.

  Counted are the parameters, their gradient and Adam's two moments, and of
  each draw of z in a batch only z and the layers above it, once.
  """
  parameters = _floats(jax.eval_shape(vae.init, jax.random.key(0)))
  draws = config.batch_size * config.num_samples * config.num_groups
  a_draw = config.latent_dim + sum(config.hidden_sizes) + math.prod(data_shape)
  needed, there = 4 * (4 * parameters + draws * a_draw), _memory()
  if needed > there:
    raise UserError(
      f'a step needs {needed / 2**30:.3g} GiB or more ({parameters:.3g} '
      f'parameters, {draws} draws of z), this machine has '
      f'{there / 2**30:.3g}: make --hidden_sizes, --latent_dim, --batch_size '
      'or --num_samples smaller'
    )


def physical() -> int:
  """Returns the bytes of this machine's memory."""
  return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')


def _floats(tree: Any) -> int:
  return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def _memory() -> int:
  """Returns the bytes of the device that steps run on."""
  (device,) = jnp.zeros(()).devices()
  limit = (device.memory_stats() or {}).get('bytes_limit')
  return limit or physical()
