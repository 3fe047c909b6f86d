"""PNG files of figures."""

import pathlib

from vae_jax import plots
from vae_jax.io import files, signals


def save_figure(path: pathlib.Path, figure: 'plots.Figure') -> pathlib.Path:
  """Writes a figure as a PNG file, atomically, and returns its path.

  Args:
    path: File to write; its folder is created if it is missing.
    figure: Figure to render.

  Raises:
    Stopped: A signal asked the program to end.
    UserError: The folder is a symbolic link or a file.
    OSError: The file cannot be written.
  """
  # Rendering takes about 0.2 s, so each figure is a point to stop at.
  signals.check()
  files.make_folder(path.parent, parents=True)
  files.write(path, plots.to_png(figure))
  return path
