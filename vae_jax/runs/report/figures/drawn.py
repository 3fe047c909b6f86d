"""Results of drawing: a figure with its caption, or a reason to skip it."""

from typing import NamedTuple

from vae_jax import plots


class Drawn(NamedTuple):
  """A figure of a run.

  Attributes:
    name: Name of the file, without `.png`.
    figure: Figure to save.
    caption: Sentence below the figure in the report.
  """

  name: str
  figure: plots.Figure
  caption: str


class Skipped(NamedTuple):
  """A figure that the model cannot provide.

  Attributes:
    name: Name of the file, without `.png`.
    reason: Reason, as a clause without a full stop.
  """

  name: str
  reason: str
