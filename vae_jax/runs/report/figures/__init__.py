"""Figures of a run: reconstructions, samples, latents and learning curves."""

import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from vae_jax.data import Condition
from vae_jax.errors import UserError
from vae_jax.evaluate import Calibration, Latents
from vae_jax.io import logger
from vae_jax.models import LatentModel
from vae_jax.runs import monitor
from vae_jax.runs.report.figures import image_figures, metric_figures
from vae_jax.runs.report.figures.calibration import rank_histograms
from vae_jax.runs.report.figures.drawn import (
  Drawn,
  Skipped,
  attempt,
  skip_failed,
)
from vae_jax.runs.save_figure import save_figure
from vae_jax.types import Params

__all__ = ('Curves', 'TestStatistics', 'draw_all')


class TestStatistics(NamedTuple):
  """Statistics of a split that are drawn.

  Attributes:
    latents: Statistics of the latents of N examples; None if the model has
      none.
    labels: Labels of the same examples, `[N]`; None for unlabelled data.
    nll: Number of samples K -> mean and standard error of the NLL, in nats.
    split: Name of the split.
    given: Words behind NLL, such as ' of x given y'; or ''.
    calibration: Ranks of simulated z; None to draw none.
  """

  latents: Latents | None
  labels: np.ndarray | None
  nll: Mapping[int, tuple[float, float]]
  split: str = 'test'
  given: str = ''
  calibration: Calibration | None = None


class Curves(NamedTuple):
  """Metrics of a training that are drawn by epoch.

  Attributes:
    records: Lines of metrics.jsonl.
    num_samples: Samples per example in training, K of its bound.
  """

  records: Sequence[dict[str, Any]]
  num_samples: int = 1


def draw_all(
  folder: pathlib.Path,
  model: LatentModel,
  params: Params,
  images: np.ndarray,
  preprocessed: Any,
  curves: Curves | None,
  statistics: TestStatistics,
  condition: Condition | None = None,
) -> dict[pathlib.Path, str]:
  """Draws and saves every figure that the model and the data admit.

  Prints a line for each figure that is skipped, a warning if it failed.

  Args:
    folder: Folder of the figures, created if it is missing.
    model: Model.
    params: Its parameters.
    images: Images as stored, uint8 `[N, H, W, C]`; for vectors `[N, D]` the
      figures of images are left out.
    preprocessed: The same examples as the likelihood takes them, `[N, ...]`;
      with their conditions `{'x': ..., 'y': ...}`.
    curves: Metrics by epoch; None to draw none.
    statistics: Statistics of the split.
    condition: Classes or covariates of the training split.

  Returns:
    Path of each figure -> its caption.

  Raises:
    UserError: The folder is a symbolic link or a file.
    OSError: A file cannot be written.
  """
  captions = {}
  drawn = _draw(
    model, params, images, preprocessed, curves, statistics, condition
  )
  for each in logger.track('figures', drawn):
    path, skipped = folder / f'{each.name}.png', each
    if isinstance(each, Drawn):
      try:
        captions[save_figure(path, each.figure)] = each.caption
        continue
      except (UserError, OSError):
        raise
      except Exception as error:  # Rendering, as in `attempt`.
        skipped = skip_failed(each.name, error)
    level = '' if skipped.is_expected else 'warning: '
    print(f'{level}{path}: skipped, {skipped.reason}', flush=True)
  return captions


def _draw(
  model: LatentModel,
  params: Params,
  images: np.ndarray,
  preprocessed: Any,
  curves: Curves | None,
  statistics: TestStatistics,
  condition: Condition | None,
) -> Iterator[Drawn | Skipped]:
  latents, labels, nll, split, given, calibration = statistics
  of_metrics, is_given = metric_figures, condition is not None
  if curves is not None:
    yield attempt('learning_curve', lambda: of_metrics.learning_curve(*curves))
  if len(nll) > 1:
    yield attempt('nll_curve', lambda: of_metrics.nll_curve(nll, split, given))
  if latents is None:
    reason = 'the latents have no statistics'
    yield Skipped('kl_per_dimension', reason)
    yield Skipped('posterior_means', reason)
  else:
    yield attempt(
      'kl_per_dimension',
      lambda: of_metrics.kl_bars(latents, split, is_given=is_given),
    )
    if labels is not None:
      yield attempt(
        'posterior_means',
        lambda: of_metrics.posterior_means(
          latents, labels, split, is_given=is_given
        ),
      )
  if calibration is not None:
    yield attempt('calibration', lambda: rank_histograms(calibration))
  if images.ndim > 2:
    yield from image_figures.draw_all(
      model, params, images, preprocessed, latents, split, condition
    )
  if curves is not None:
    for name, figure in monitor.draw(curves.records).items():
      caption = 'Signal-to-noise ratio of the gradient during training.'
      yield Drawn(name, figure, caption)
