"""The command `encode`: means, scales and draws of q(z|x) as arrays."""

import pathlib
from typing import Any

import jax
import numpy as np

from vae_jax.distributions import Distribution
from vae_jax.evaluate.chunks import describe_model
from vae_jax.evaluate.draws import encode_all, has_own_parameters
from vae_jax.io.npz import write_npz
from vae_jax.runs.after.named import flat_all
from vae_jax.runs.after.opened import Examples, load_examples, open_run
from vae_jax.runs.config.use import EncodeConfig


@jax.transfer_guard('allow')
def encode(options: EncodeConfig) -> list[pathlib.Path]:
  """Encodes examples; writes `encoded.npz`, or `encoded_train.npz` and so on.

  The npz holds `means` and `scales`, the standard deviations of q(z|x), where
  they have a closed form; `draws`, `[N, S, ...]`; and `labels`,
  `label_names` and `y` where the data have them. Arrays of several layers are
  named by layer: `draws_z1`.

  Args:
    options: options of the command.

  Returns:
    The files.

  Raises:
    UserError: no trained run, or no suitable data.
  """
  opened = open_run(options, 'encoded')
  run = opened.run
  found = load_examples(opened, options, options.num_examples)
  arrays = encode_all(
    jax.random.key(options.seed),
    run.model,
    run.params,
    found.x,
    num_samples=options.num_samples,
  )
  q = describe_model(
    lambda inference: inference.posterior, run.model, run.params, found.x
  )
  print(f'{found.words}: {_stored(q)}', flush=True)
  arrays |= labels_of(found)
  name = 'encoded'
  if options.dataset:
    name += f'_{pathlib.Path(options.dataset).stem}'
  if not options.dataset.endswith('.npz') and options.split != 'test':
    name += f'_{options.split}'
  path = write_npz(opened.path(f'{name}.npz'), flat_all(arrays))
  print(f'Files: {path}')
  return [path]


def labels_of(found: Examples) -> dict[str, Any]:
  """Returns the labels and conditions of examples by name."""
  beside = {'labels': found.stored.labels, 'y': found.stored.y}
  arrays: dict[str, Any] = {k: x for k, x in beside.items() if x is not None}
  if 'labels' in arrays and found.names:
    arrays['label_names'] = np.array(found.names)
  return arrays


def _stored(q: Distribution) -> str:
  """Returns which arrays of q(z|x) the file has."""
  if q.has_moments:
    return 'means, scales and draws of q(z|x)'
  reason = f'{q.name} has no mean and variance in closed form'
  if has_own_parameters(q):
    return f'draws and parameters of q(z|x), as {reason}'
  return (
    f'draws of q(z|x) only, as {reason}; more --num_samples approximate them'
  )
