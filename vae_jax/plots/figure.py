"""Empty figures, and the types that name them.

matplotlib takes a third of a second to import, which a command that trains
needs only at its end: the first figure loads it.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure
else:
  Axes = Figure = Any


def new_figure(width: float, height: float) -> Figure:
  """Returns an empty figure of a size in inches."""
  from matplotlib.figure import Figure

  return Figure(figsize=(width, height), layout='constrained')
