"""Figures of a run: reconstructions, samples, latents and learning curves."""

import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from vae_jax.evaluate import Latents
from vae_jax.models import LatentModel
from vae_jax.runs.report.figures import image_figures, metric_figures
from vae_jax.runs.report.figures.drawn import Drawn, Skipped
from vae_jax.runs.save_figure import save_figure
from vae_jax.types import Params

__all__ = ('TestStatistics', 'draw_all')


class TestStatistics(NamedTuple):
  """Statistics of a test split that are drawn.

  Attributes:
    latents: Statistics of the latents of N test examples; None if the model
      has none.
    labels: Labels of the same examples, `[N]`; None for unlabelled data.
    nll: Number of samples K -> mean and standard error of the NLL, in nats.
  """

  latents: Latents | None
  labels: np.ndarray | None
  nll: Mapping[int, tuple[float, float]]


def draw_all(
  folder: pathlib.Path,
  model: LatentModel,
  params: Params,
  images: np.ndarray,
  preprocessed: np.ndarray,
  records: Sequence[dict[str, Any]],
  statistics: TestStatistics,
) -> dict[pathlib.Path, str]:
  """Draws and saves every figure that the model and the data admit.

  Prints a line for each figure that the model does not admit.

  Args:
    folder: Folder of the figures, created if it is missing.
    model: Model, conditioned on the examples alone.
    params: Its parameters.
    images: Test images as stored, uint8 `[N, H, W, C]`; for vectors `[N, D]`
      the figures of images are left out.
    preprocessed: The same examples as the likelihood takes them.
    records: Lines of metrics.jsonl.
    statistics: Statistics of the test split.

  Returns:
    Path of each figure -> its caption.
  """
  captions = {}
  for each in _draw(model, params, images, preprocessed, records, statistics):
    path = folder / f'{each.name}.png'
    if isinstance(each, Skipped):
      print(f'{path}: skipped, {each.reason}')
    else:
      captions[save_figure(path, each.figure)] = each.caption
  return captions


def _draw(
  model: LatentModel,
  params: Params,
  images: np.ndarray,
  preprocessed: np.ndarray,
  records: Sequence[dict[str, Any]],
  statistics: TestStatistics,
) -> Iterator[Drawn | Skipped]:
  latents, labels, nll = statistics
  yield metric_figures.learning_curve(records)
  if len(nll) > 1:
    yield metric_figures.nll_curve(nll)
  if latents is None:
    reason = 'the latents have no statistics'
    yield Skipped('kl_per_dimension', reason)
    yield Skipped('posterior_means', reason)
  else:
    yield metric_figures.kl_bars(latents)
    if labels is not None:
      yield metric_figures.posterior_means(latents.means, labels)
  if images.ndim > 2:
    drawn = image_figures.make_model(model, params, images, preprocessed)
    yield from image_figures.draw(drawn, latents)
