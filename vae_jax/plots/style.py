"""Colours, titles and PNG encoding shared by all figures."""

import io
import textwrap
import warnings

from vae_jax.plots.figure import Axes, Figure

INK, ACCENT, MUTED = '#222222', '#d1495b', '#30638e'

# Ten colours that people with a colour vision deficiency can distinguish:
# Petroff 2021, Accessible color sequences for data visualization.
PALETTE = (
  *('#3f90da', '#ffa90e', '#bd1f01', '#94a4a2', '#832db6'),
  *('#a96b59', '#e76300', '#b9ac70', '#717581', '#92dadd'),
)

# Average letters per inch of a title in matplotlib's default title font.
_LETTERS_PER_INCH = 11


def wrap(title: str, width: float) -> str:
  """Breaks a title into lines that fit into `width` inches."""
  return textwrap.fill(title, int(width * _LETTERS_PER_INCH))


def plain(name: str, width: int = 24) -> str:
  """Returns a name on one line, shortened, and not parsed as a formula."""
  name = ' '.join(name.encode('utf-8', 'replace').decode().split())
  name = name if len(name) <= width else f'{name[: width - 3]}...'
  return name.replace('$', r'\$')


def set_style(axes: Axes, title: str) -> None:
  """Sets the title, removes the top and right spines, adds a faint grid."""
  axes.set_title(title, color=INK)
  axes.spines[['top', 'right']].set_visible(False)
  axes.set_axisbelow(True)
  axes.grid(alpha=0.25)


def to_png(figure: Figure) -> bytes:
  """Renders a figure as a PNG file at 150 dots per inch."""
  content = io.BytesIO()
  with warnings.catch_warnings():
    # A class name may have letters that the font lacks: they become boxes.
    warnings.simplefilter('ignore')
    figure.savefig(content, dpi=150, bbox_inches='tight', facecolor='white')
  return content.getvalue()
