"""The command `reconstruct`: E[x|z] beside the originals."""

import pathlib
from typing import Any

import jax
import numpy as np

from vae_jax import plots
from vae_jax.evaluate.draws import reconstruct_all
from vae_jax.io.npz import write_npz
from vae_jax.runs.after import pictures
from vae_jax.runs.after.encoding import labels_of
from vae_jax.runs.after.named import flat_all
from vae_jax.runs.after.opened import (
  Examples,
  Opened,
  load_examples,
  open_run,
)
from vae_jax.runs.config.use import ReconstructConfig
from vae_jax.runs.save_figure import save_figure

# Examples of a split, and pictures in one row.
_OF_SPLIT, _COLUMNS = 64, 16


@jax.transfer_guard('allow')
def reconstruct(options: ReconstructConfig) -> list[pathlib.Path]:
  """Reconstructs examples; writes `reconstructions.npz` and a picture.

  The npz holds `originals` as stored, `inputs` as the encoder takes them,
  `means`, which are E[x|z] at one draw z ~ q(z|x), and `z`. Standardised
  numbers are given back in their own units.

  Args:
    options: options of the command.

  Returns:
    The files.

  Raises:
    UserError: no trained run, or examples of another shape or kind.
  """
  opened = open_run(options, 'reconstructions')
  run = opened.run
  is_file = options.dataset.endswith('.npz')
  found = load_examples(opened, options, options.num_examples)
  if not (is_file or options.num_examples):
    found = found.first(_OF_SPLIT)
  key = jax.random.key(options.seed)
  arrays = reconstruct_all(key, run.model, run.params, found.x)
  inputs = found.x['x'] if isinstance(found.x, dict) else found.x
  arrays |= {'originals': found.stored.x, 'inputs': np.asarray(inputs)}
  if isinstance(found.x, dict) and 'mask' in found.x:
    arrays['mask'] = np.asarray(found.x['mask'])
  if run.statistics is not None:
    arrays |= {
      name: run.statistics.undo(arrays[name]) for name in ('means', 'originals')
    }
  arrays |= labels_of(found)
  print(found.words, flush=True)
  stem = 'reconstructions'
  if options.dataset:
    stem += f'_{pathlib.Path(options.dataset).stem}'
  paths = [write_npz(opened.path(f'{stem}.npz'), flat_all(arrays))]
  paths += _draw(opened, found, arrays, opened.path(f'{stem}.png'))
  print('Files: ' + '  '.join(map(str, paths)))
  return paths


def _draw(
  opened: Opened, found: Examples, arrays: dict[str, Any], path: pathlib.Path
) -> list[pathlib.Path]:
  """Draws originals above reconstructions, or says why there is no picture."""
  run, means = opened.run, arrays['means']
  if reason := pictures.undrawable(run, means):
    print(f'No picture: {reason}; the npz has the numbers')
    return []
  count = min(_COLUMNS, len(means))
  if count < len(means):
    print(f'The picture shows the first {count} of {len(means)} examples')
  white = pictures.white_of(run, arrays['originals'])
  picture = lambda x: pictures.as_picture(x[:count], white)
  rows = {'original': picture(arrays['originals'])}
  if 'mask' in arrays:
    rows['observed'] = np.where(arrays['mask'][:count], rows['original'], 0.0)
  elif arrays['inputs'].dtype == np.uint8:
    # Binarised: zeros and ones.
    rows['binarised'] = arrays['inputs'][:count].astype(float)
  rows['E[x | z]'] = picture(means)
  letters = ', y' if run.condition else ''
  title = f'Reconstructions E[x | z{letters}], z ~ q(z | x{letters})'
  names = tuple(rows)
  figure = plots.image_rows(title, np.stack([*rows.values()]), rows=names)
  return [save_figure(path, figure)]
