"""What all figures share: colours, titles and the file."""

import io
import pathlib
import textwrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vae_jax import files, signals

INK, ACCENT, MUTED = '#222222', '#d1495b', '#30638e'

# Petroff 2021, Accessible color sequences for data visualization: ten that
# people with a colour vision deficiency tell apart.
PALETTE = (
  *('#3f90da', '#ffa90e', '#bd1f01', '#94a4a2', '#832db6'),
  *('#a96b59', '#e76300', '#b9ac70', '#717581', '#92dadd'),
)

# Of a title, at its font size.
_LETTERS_PER_INCH = 11


def wrap(title: str, width: float) -> str:
  """Breaks a title into lines that fit on `width` inches."""
  return textwrap.fill(title, int(width * _LETTERS_PER_INCH))


def dress(axes: Axes, title: str) -> None:
  """Gives a chart its title, two spines and a faint grid."""
  axes.set_title(title, color=INK)
  axes.spines[['top', 'right']].set_visible(False)
  axes.set_axisbelow(True)
  axes.grid(alpha=0.25)


def save(figure: Figure, path: pathlib.Path) -> pathlib.Path:
  """Writes the PNG file, in a folder that is made if it is missing."""
  signals.check()
  path.parent.parent.mkdir(parents=True, exist_ok=True)
  files.make_folder(path.parent)
  content = io.BytesIO()
  figure.savefig(content, dpi=150, bbox_inches='tight', facecolor='white')
  files.write(path, content.getvalue())
  return path
