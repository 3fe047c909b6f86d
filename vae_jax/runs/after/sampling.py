"""The command `sample`: p(x|z) at z ~ p(z), as a picture and as arrays."""

import math
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax import plots
from vae_jax.errors import UserError
from vae_jax.evaluate.draws import sample_all
from vae_jax.io.npz import write_npz
from vae_jax.models import SizeFactorVAE
from vae_jax.runs import splits
from vae_jax.runs.after import pictures
from vae_jax.runs.after.conditions import Conditions, conditions_of
from vae_jax.runs.after.named import flat_all
from vae_jax.runs.after.opened import Opened, open_run
from vae_jax.runs.config.use import SampleConfig
from vae_jax.runs.examples import join
from vae_jax.runs.save_figure import save_figure

# Index of a key, beyond any number of samples.
_OTHER = 2**30


@jax.transfer_guard('allow')
def sample(options: SampleConfig) -> list[pathlib.Path]:
  """Samples a trained run; writes `samples.npz` and `samples.png`.

  The npz holds `means`, E[x|z], `draws` of x ~ p(x|z), `z`, and `y` in a run
  with conditions. Standardised numbers are given back in their own units.

  Args:
    options: options of the command.

  Returns:
    The files.

  Raises:
    UserError: no trained run, or a class or a size that it does not have.
  """
  opened = open_run(options, 'samples')
  run, count = opened.run, options.num_samples
  given = conditions_of(run, options.class_, count)
  x = jnp.zeros((count, *run.data_shape))
  mask = None
  if run.config.data.missing == 'mask':
    mask = jnp.zeros(x.shape, bool)
  found: Any = join(run.condition, x, given.y, mask)
  size = _size(opened, options)
  if size:
    found = {'x': found, 'size': jnp.full(count, size, x.dtype)}
  z_key = jax.random.key(options.seed)
  # No split of this parent contains it.
  draw_key = jax.random.fold_in(z_key, _OTHER)
  arrays = sample_all(z_key, draw_key, run.model, run.params, found)
  if run.statistics is not None:
    arrays |= {k: run.statistics.undo(arrays[k]) for k in ('means', 'draws')}
  if given.y is not None:
    arrays['y'] = given.y
  if size:
    arrays['size'] = np.full(count, size)
  seed = f'_seed{options.seed}' if options.seed else ''
  stem = f'samples{given.slug}{seed}'
  paths = [write_npz(opened.path(f'{stem}.npz'), flat_all(arrays))]
  paths += _draw(opened, arrays['means'], given, opened.path(f'{stem}.png'))
  print('Files: ' + '  '.join(map(str, paths)))
  return paths


def _size(opened: Opened, options: SampleConfig) -> float:
  """Returns the size factor of every sample; 0 for a model without one."""
  run = opened.run
  if not isinstance(run.model, SizeFactorVAE):
    if options.size:
      raise UserError(
        f'--size: got {options.size} with a run without --size_factor, '
        'expected one with it. Leave --size out'
      )
    return 0.0
  if options.size:
    return options.size
  _, x = splits.load_split(
    run.config, 'test', opened.record.data_digests, statistics=run.statistics
  )
  size = float(np.mean(run.model.with_sizes(jax.device_put(x))['size']))
  print(f'size factor {size:.6g}, the mean over the test examples (--size)')
  return size


def _draw(
  opened: Opened, means: np.ndarray, given: Conditions, path: pathlib.Path
) -> list[pathlib.Path]:
  """Draws a grid of the means, or says why there is none."""
  run = opened.run
  if reason := pictures.undrawable(run, means):
    print(f'No picture: {reason}; the npz has the numbers')
    return []
  shown = means[: pictures.MOST]
  if len(shown) < len(means):
    print(f'The picture shows the first {len(shown)} of {len(means)} samples')
  columns = math.ceil(math.sqrt(len(shown)))
  condition = run.condition
  if condition and condition.classes and not given.slug:
    columns = min(len(condition.classes), 20, len(shown))
  letters = ', y' if condition else ''
  title = f'E[x | z{letters}], z ~ p(z{" | y" if condition else ""})'
  if given.words:
    title += f', {given.words}'
  tiles = pictures.as_picture(shown, pictures.white_of(run, means))
  return [save_figure(path, plots.image_grid(title, tiles, columns))]
