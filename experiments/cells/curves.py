"""Figure 2 of Kingma and Welling 2013: bounds against training samples."""

import pathlib
from collections.abc import Mapping

from experiments.cells.cell import load
from vae_jax import plots
from vae_jax.runs import RunFolder
from vae_jax.runs.save_figure import save_figure

# Start of the names of the cells -> words for the data.
_FIGURES = {'aevb_mnist_': 'MNIST', 'aevb_frey_': 'Frey faces'}


def draw(
  folder: pathlib.Path, runs: Mapping[str, pathlib.Path]
) -> list[pathlib.Path]:
  """Draws the validation ELBO of finished cells, one line per size of z.

  Args:
    folder: folder of the figures, curves_mnist.png and curves_frey.png.
    runs: name of a finished cell -> folder of its run.

  Returns:
    The figures; none without a finished cell.
  """
  paths = []
  for prefix, words in _FIGURES.items():
    lines = {
      f'{name.removeprefix(prefix)} latent dimensions': _line(name, path)
      for name, path in runs.items()
      if name.startswith(prefix)
    }
    if lines:
      figure = plots.curves(
        f'Bound on {words} by the size of z',
        ('training samples', 'validation ELBO (nats)'),
        lines,
        scales=('log', 'linear'),
      )
      name = prefix.split('_')[1]
      paths.append(save_figure(folder / f'curves_{name}.png', figure))
  return paths


def _line(name: str, path: pathlib.Path) -> tuple[list[float], list[float]]:
  batch_size = load(name).training.optimizer.batch_size
  lines = [x for x in RunFolder(path).log.read() if x['split'] == 'validation']
  samples = [float(line['step'] * batch_size) for line in lines]
  return samples, [line['elbo'] for line in lines]
