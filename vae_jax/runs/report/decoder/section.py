"""Section of the page that decodes: sliders, a latent plane and p(x|z)."""

import html
import importlib.resources
import json
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from vae_jax.data import Condition
from vae_jax.evaluate import Latents, take
from vae_jax.plots.style import PALETTE
from vae_jax.runs.report.decoder.controls import controls_of
from vae_jax.runs.report.decoder.emitter import UnsupportedError
from vae_jax.runs.report.decoder.model import Decoder, make_decoder
from vae_jax.runs.report.decoder.program import (
  MAX_BYTES,
  fit_text,
  make_program,
)
from vae_jax.runs.report.figures.image_model import white_of
from vae_jax.runs.report.html import Widget
from vae_jax.types import Params

# Sliders, bars, examples in the plane, and numbers of their means, at most.
_SLIDERS, _BARS, _EXAMPLES, _NUMBERS = 20, 500, 500, 20_000
# Points at which the error of half precision is measured.
_POINTS = 64
# Share of the range of means by which a slider exceeds it.
_MARGIN = 0.1
# Colour of examples without a class of their own.
_OTHER = '#999999'


class Encoded(NamedTuple):
  """Encoded examples of a split.

  Attributes:
    latents: statistics of N examples.
    labels: their labels, `[N]`; None for unlabelled data.
    y: their conditions as the model takes them, `[N, ...]`; None without.
    split: name of the split.
  """

  latents: Latents
  labels: np.ndarray | None
  y: np.ndarray | None = None
  split: str = 'test'


def make_section(
  model: Any,
  params: Params,
  images: np.ndarray,
  preprocessed: Any,
  encoded: Encoded,
  condition: Condition | None = None,
) -> Widget:
  """Makes the section: its HTML holds the decoder as a program.

  Args:
    model: any `LatentModel`.
    params: its parameters.
    images: images as stored, `[N, H, W, C]`; or vectors `[N, D]`.
    preprocessed: these examples as the likelihood takes them.
    encoded: examples for the latent plane.
    condition: classes or covariates of the training split.

  Raises:
    UnsupportedError: the page cannot hold or draw this decoder.
  """
  decoder = make_decoder(model, params, preprocessed)
  picture = _picture(images, preprocessed)
  if decoder.latent in encoded.latents.layers:
    own = encoded.latents.layer(decoder.latent)
    encoded = encoded._replace(latents=own)
  if not decoder.is_conditional:
    encoded = encoded._replace(y=None)
  means, y = _means(encoded.latents, decoder), encoded.y
  inputs = [decoder.z] if y is None else [decoder.z, y[0]]
  program = make_program(decoder.function, decoder.bound, *inputs)
  points = [means[:_POINTS].astype(decoder.z.dtype)]
  points += [] if y is None else [y[:_POINTS]]
  state, legend = _state(decoder, encoded, means)
  state['picture'] = picture
  before = json.dumps(state)
  room = MAX_BYTES - len(before) - sum(map(len, _scripts()))
  content = f'{before[:-1]}, "program": {fit_text(program, points, room)}}}'
  shown, words = _order(encoded.latents, decoder.z.shape[0])
  controls = controls_of(decoder, condition, shown, words, state, legend)
  return Widget(_page(controls, content), _resource('page.css'))


def _state(
  decoder: Decoder, encoded: Encoded, means: np.ndarray
) -> tuple[dict[str, Any], dict[str, str]]:
  """Returns what the page shows beside p(x|z), and the colours of classes."""
  low, high = _ends(means, decoder)
  some = _some(len(means), len(low))
  is_encoded = _is_point(encoded.latents, decoder)
  labels = encoded.labels if is_encoded else None
  colours, legend = _colours(labels, some)
  rows, y = _rounded(means[some]), encoded.y
  state = {
    'start': rows[0],
    'low': _rounded(low),
    'high': _rounded(high),
    'isDiscrete': decoder.is_discrete,
    'y': None if y is None else _rounded(y[some].reshape(len(some), -1)),
    'examples': rows,
    'isEncoded': is_encoded,
    'labels': _texts(labels, some),
    'colours': colours,
    'name': decoder.latent,
    'split': encoded.split,
  }
  return state, legend


def _is_point(latents: Latents, decoder: Decoder) -> bool:
  """Returns whether posterior means are values of z."""
  return latents.means.shape[1] == decoder.z.shape[0] and not (
    latents.has_labels
  )


def _means(latents: Latents, decoder: Decoder) -> np.ndarray:
  """Returns the posterior means, `[N, Z]`; whole numbers of a discrete z."""
  if not _is_point(latents, decoder):
    return np.zeros((1, decoder.z.shape[0]))
  means = np.asarray(latents.means, np.float64)
  if not np.isfinite(means).all():
    raise UnsupportedError('a posterior mean is not finite')
  return np.rint(means) if decoder.is_discrete else means


def _ends(means: np.ndarray, decoder: Decoder) -> np.ndarray:
  """Returns the ends of the sliders, `[2, Z]`, which contain the means."""
  low, high = means.min(axis=0), means.max(axis=0)
  if decoder.ends is None:
    margin = np.maximum(_MARGIN * (high - low), 1e-3)
    low, high = low - margin, high + margin
  else:
    low = np.minimum(low, decoder.ends[0])
    high = np.maximum(high, decoder.ends[1])
  return np.stack([low, high])


def _order(latents: Latents, size: int) -> tuple[list[int], list[str]]:
  """Returns the units with sliders, and words for each."""
  if len(latents.kl.mean) == size:
    amount = np.asarray(latents.kl.mean)
    words = [f'KL {x:.2f} nats' for x in amount]
  elif len(latents.mean_variance) == size:
    amount = latents.mean_variance
    words = [f'variance of means {x:.2f}' for x in amount]
  else:
    amount, words = np.zeros(size), [''] * size
  shown = np.argsort(-amount, kind='stable')[:_SLIDERS]
  return [int(i) for i in shown], [words[i] for i in shown]


def _some(count: int, size: int) -> np.ndarray:
  """Returns indices of evenly spaced examples, the first among them."""
  most = min(count, _EXAMPLES, max(1, _NUMBERS // size))
  return np.linspace(0, count - 1, most).astype(int)


def _rounded(x: Any) -> Any:
  """Returns lists of numbers with four digits, as JSON represents them."""
  return json.loads(
    json.dumps(np.asarray(x, np.float64).tolist()),
    parse_float=lambda text: float(f'{float(text):.4g}'),
  )


def _texts(labels: np.ndarray | None, some: np.ndarray) -> list[str]:
  return [] if labels is None else [str(x) for x in labels[some]]


def _colours(
  labels: np.ndarray | None, some: np.ndarray
) -> tuple[list[str], dict[str, str]]:
  """Returns the colour of each example, and name -> colour of each class."""
  if labels is None or labels.dtype.kind == 'f':
    return [_OTHER] * len(some), {}
  values, counts = np.unique(labels, return_counts=True)
  common = np.sort(np.argsort(-counts, kind='stable')[: len(PALETTE)])
  names = [str(each) for each in values[common]]
  legend = dict(zip(names, PALETTE, strict=False))
  texts = _texts(labels, some)
  colours = [legend.get(each, _OTHER) for each in texts]
  rest = len(values) - len(common)
  return colours, legend | ({f'{rest} other classes': _OTHER} if rest else {})


def _picture(images: np.ndarray, preprocessed: Any) -> dict[str, Any]:
  """Returns how the mean of p(x|z) is drawn: as an image, or as bars."""
  if images.ndim == 4 and images.shape[-1] in (1, 3):
    _, height, width, channels = images.shape
    white = 1 if images.dtype == np.uint8 else white_of(images)
    shape = {'height': height, 'width': width, 'channels': channels}
    return {'kind': 'image', **shape, 'white': white}
  if images.ndim > 2:
    raise UnsupportedError(f'x has the shape {images.shape[1:]}')
  x = preprocessed['x'] if isinstance(preprocessed, dict) else preprocessed
  size = int(np.prod(x.shape[1:]))
  if size > _BARS:
    raise UnsupportedError(
      f'x is a vector of {size} numbers, more than {_BARS} bars'
    )
  seen = np.asarray(x[:1000], np.float64)
  low, high = np.nanmin(seen), np.nanmax(seen)
  ends = {'low': float(min(low, 0)), 'high': float(max(high, 0))}
  return {'kind': 'bars', 'size': size, **ends}


def _resource(name: str) -> str:
  files = importlib.resources.files('vae_jax.runs.report.decoder')
  return files.joinpath(name).read_text(encoding='utf-8')


def _scripts() -> list[str]:
  return [_resource('program.js'), _resource('page.js')]


def _page(controls: str, content: str) -> str:
  # `<` would end the element early, for example in a label `</script>`.
  content = content.replace('<', '\\u003c')
  data = f'<script type="application/json" id="decoder-data">{content}</script>'
  scripts = [f'<script>\n{each}</script>' for each in _scripts()]
  return '\n'.join([controls, data, *scripts])


def leave_out(reason: str) -> Widget:
  """Returns a sentence in place of the section."""
  return Widget(f'<p>This page does not decode: {html.escape(reason)}.</p>', '')


def conditions_of(examples: Any, index: np.ndarray) -> Any:
  """Returns conditions of some examples, or None."""
  if not (isinstance(examples, dict) and 'y' in examples):
    return None
  y = np.asarray(take(examples['y'], index))
  return y.astype(np.int32 if y.dtype.kind in 'iu' else jnp.result_type(float))


def attempt(*args: Any) -> tuple[Widget, str]:
  """Makes the section, or a sentence and the reason: it may end no report."""
  try:
    return make_section(*args), ''
  except UnsupportedError as error:
    reason = str(error)
  # As for a figure: jax and NumPy raise exceptions of many types.
  except Exception as error:
    words = ' '.join(str(error).split())[:200]
    reason = f'it failed ({type(error).__name__}: {words})'
  return leave_out(reason), reason
