"""The figures of a run: its model's images, its latents and its numbers."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from vae_jax.evaluate import Latents
from vae_jax.figures import charts, pictures
from vae_jax.model import VAE
from vae_jax.types import Params

__all__ = ('Measured', 'draw_all')


class Measured(NamedTuple):
  """What of a test split is drawn in numbers.

  Attributes:
    latents: of N examples of it.
    labels: of the same examples, `[N]`; None where the set has none.
    nll: K -> mean and standard error, in nats.
  """

  latents: Latents
  labels: np.ndarray | None
  nll: Mapping[int, tuple[float, float]]


def draw_all(
  folder: pathlib.Path,
  vae: VAE,
  params: Params,
  images: np.ndarray,
  prepared: np.ndarray,
  records: Sequence[dict[str, Any]],
  measured: Measured,
) -> dict[pathlib.Path, str]:
  """Draws every figure that the model and the data admit.

  Args:
    folder: made if missing.
    vae: the model.
    params: its parameters.
    images: uint8 test images, `[N, H, W, C]`; of vectors, `[N, D]`, there
      are no pictures.
    prepared: the same as the likelihood takes them.
    records: the lines of metrics.jsonl.
    measured: on the test split.

  Returns:
    The path of each figure -> what it shows, in a sentence.
  """
  latents, labels, nll = measured
  drawn = [charts.learning_curve(folder, records)]
  if len(nll) > 1:
    drawn.append(charts.nll_curve(folder, nll))
  drawn.append(charts.kl_bars(folder, latents))
  if labels is not None:
    drawn.append(charts.posterior_means(folder, latents.means, labels))
  if images.ndim > 2:
    model = pictures.make_model(vae, params, images, prepared)
    drawn += pictures.draw(folder, model, latents)
  return dict(drawn)
