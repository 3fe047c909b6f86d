"""Signal-to-noise ratio of a gradient against the number of samples K."""

from collections.abc import Sequence
from typing import Any

from vae_jax.plots.curves import curves
from vae_jax.plots.figure import Figure


def signal_to_noise(title: str, points: Sequence[Any]) -> dict[str, Figure]:
  """Draws the signal-to-noise ratio against K, one figure per parameter group.

  Args:
    title: Title of each figure; `{}` is replaced by the name of the group.
    points: Measurements with the attributes `group`, `estimator`,
      `num_samples` and `signal_to_noise`.

  Returns:
    Parameter group -> figure, sorted by group.
  """
  figures = {}
  for group in sorted({p.group for p in points}):
    lines: dict[str, tuple[list[float], list[float]]] = {}
    for p in points:
      # A ratio of 0 was not measurable and has no place on a log axis.
      if p.group == group and p.signal_to_noise > 0:
        x, y = lines.setdefault(p.estimator, ([], []))
        x.append(p.num_samples)
        y.append(p.signal_to_noise)
    figures[group] = curves(
      title.format(group),
      ('K', '|mean| / deviation of a gradient'),
      lines,
      points=lines,
      scales=('log', 'log'),
    )
  return figures
