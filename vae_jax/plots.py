"""Figures that people look at: arrays in, PNG files out."""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_INK, _ACCENT, _MUTED = '#222222', '#d1495b', '#30638e'


def _tile(images: np.ndarray, columns: int, gap: int = 1) -> np.ndarray:
  """Lays `[N, H, W, C]` out as one picture, `gap` white pixels between."""
  count, height, width, channels = images.shape
  rows = -(-count // columns)
  canvas = np.ones(
    (rows * (height + gap) - gap, columns * (width + gap) - gap, channels)
  )
  for i, image in enumerate(images):
    top, left = (i // columns) * (height + gap), (i % columns) * (width + gap)
    canvas[top : top + height, left : left + width] = image
  return canvas


def _show(axes: Axes, picture: np.ndarray) -> None:
  picture = picture[..., 0] if picture.shape[-1] == 1 else picture
  axes.imshow(picture, cmap='gray', vmin=0, vmax=1, interpolation='nearest')
  axes.set_xticks([])
  axes.set_yticks([])
  for spine in axes.spines.values():
    spine.set_visible(False)


def _save(figure: Figure, path: pathlib.Path) -> pathlib.Path:
  path.parent.mkdir(parents=True, exist_ok=True)
  figure.savefig(path, dpi=150, bbox_inches='tight', facecolor='white')
  return path


def _width(picture: np.ndarray, height: float) -> float:
  return height * picture.shape[1] / picture.shape[0]


def image_rows(
  path: pathlib.Path, title: str, rows: Mapping[str, np.ndarray]
) -> pathlib.Path:
  """Draws rows of images, each `[N, H, W, C]` in [0, 1], named on the left."""
  pictures = {name: _tile(x, len(x)) for name, x in rows.items()}
  height = 0.75
  size = (_width(next(iter(pictures.values())), height), height * len(rows))
  figure = Figure(figsize=size, layout='constrained')
  panels = figure.subplots(len(rows), 1, squeeze=False)[:, 0]
  for axes, (name, picture) in zip(panels, pictures.items(), strict=True):
    _show(axes, picture)
    axes.set_ylabel(name, rotation=0, ha='right', va='center', color=_INK)
  figure.suptitle(title, color=_INK)
  return _save(figure, path)


def image_grid(
  path: pathlib.Path,
  title: str,
  images: np.ndarray,
  columns: int,
  *,
  gap: int = 1,
  labels: tuple[str, str] = ('', ''),
) -> pathlib.Path:
  """Draws `[N, H, W, C]` images in [0, 1] as a grid."""
  picture = _tile(images, columns, gap)
  figure = Figure(figsize=(_width(picture, 5.5), 6), layout='constrained')
  axes = figure.subplots()
  _show(axes, picture)
  axes.set_title(title, color=_INK)
  axes.set_xlabel(labels[0], color=_INK)
  axes.set_ylabel(labels[1], color=_INK)
  return _save(figure, path)


_LEGEND_INSIDE = 4

Line = tuple[Sequence[float], Sequence[float]]


def curves(
  path: pathlib.Path,
  title: str,
  labels: tuple[str, str],
  lines: Mapping[str, Line],
  *,
  points: Mapping[str, Line] | None = None,
  scales: tuple[str, str] = ('linear', 'linear'),
  ticks: Sequence[str] = (),
) -> pathlib.Path:
  """Draws named lines, and points of the same names over them.

  Args:
    path: the PNG file.
    title: of the figure.
    labels: of the two axes.
    lines: name -> (x, y), drawn through: what is exact, or the one measured.
    points: name -> (x, y), drawn as dots: what was measured against a line.
    scales: of the two axes, each 'linear', 'log' or 'symlog'.
    ticks: names of x = 0, 1, 2, ..., where these are no numbers.
  """
  points = points or {}
  width = 6.5 + 2.2 * (len({*lines, *points}) > _LEGEND_INSIDE)
  figure = Figure(figsize=(width, 4.2 + bool(ticks)), layout='constrained')
  axes = figure.subplots()
  names = list(dict.fromkeys([*lines, *points]))
  for i, name in enumerate(names):
    colour = f'C{i}'
    if name in lines:
      axes.plot(*lines[name], color=colour, label=name)
    if name in points:
      label = None if name in lines else name
      axes.plot(*points[name], 'o', color=colour, markersize=4, label=label)
  axes.set_xscale(scales[0])
  axes.set_yscale(scales[1])
  axes.set_xlabel(labels[0])
  axes.set_ylabel(labels[1])
  if ticks:
    axes.set_xticks(range(len(ticks)), ticks, rotation=90, fontsize='small')
  _dress(axes, title)
  if len(names) <= _LEGEND_INSIDE:
    axes.legend(frameon=False, fontsize='small')
  else:
    # So many names would cover the lines.
    figure.legend(loc='outside right center', frameon=False, fontsize='small')
  return _save(figure, path)


def _dress(axes: Axes, title: str) -> None:
  axes.set_title(title, color=_INK)
  axes.spines[['top', 'right']].set_visible(False)
  axes.grid(alpha=0.25)


def learning_curve(
  path: pathlib.Path,
  name: str,
  splits: Mapping[str, Line],
) -> pathlib.Path:
  """Draws each split's (epochs, values), in nats, upwards is better."""
  figure = Figure(figsize=(6.5, 4), layout='constrained')
  axes = figure.subplots()
  for (split, (epochs, values)), colour in zip(
    splits.items(), (_MUTED, _ACCENT), strict=False
  ):
    marker = 'o' if len(epochs) < 3 else None
    axes.plot(epochs, values, color=colour, label=split, marker=marker)
  # The first epochs fall off a cliff; what follows is what one looks at.
  shown = np.concatenate([values for _, values in splits.values()])
  low, high = (
    np.percentile(shown, [2, 100])
    if len(shown) > 20
    else (
      shown.min(),
      shown.max(),
    )
  )
  margin = 0.05 * (high - low) or 1.0
  axes.set_ylim(low - margin, high + margin)
  axes.set_xlabel('epoch')
  axes.set_ylabel(f'{name} (nats an example)')
  _dress(axes, 'Learning curve')
  axes.legend(frameon=False)
  return _save(figure, path)
