"""HTML elements of the decoder: canvases, sliders and selects."""

import html
from collections.abc import Sequence
from typing import Any

from vae_jax.data import Condition
from vae_jax.runs.report.decoder.model import Decoder


def controls_of(
  decoder: Decoder,
  condition: Condition | None,
  shown: Sequence[int],
  words: Sequence[str],
  state: dict[str, Any],
  legend: dict[str, str],
) -> str:
  """Returns the canvases and form elements."""
  z, size = decoder.latent, decoder.z.shape[0]
  given = ', y' if decoder.is_conditional else ''
  sentences = [
    'The decoder runs in this page, without a server. Move a slider, or click '
    'the latent plane, to draw'
    f' E[x | {z}{given}].',
    decoder.note,
  ]
  if state['picture']['kind'] == 'bars':
    sentences.append('A bar is a number of x, as the model takes it.')
  if len(shown) < size:
    sentences.append(
      f'Sliders are the {len(shown)} of {size} units with the largest KL; the '
      'others stay as they are.'
    )
  if decoder.is_conditional and not (condition and condition.classes):
    sentences.append('y is that of the example.')
  intro = html.escape(' '.join(each for each in sentences if each))
  parts = [
    f'<p>{intro}</p>',
    '<noscript><p>This section needs JavaScript.</p></noscript>',
    '<p id="decoder-status" role="status"></p>',
    '<div class="decoder">',
    '<figure>',
    f'<canvas id="decoder-picture" role="img" aria-label="E[x | {z}{given}]">'
    '</canvas>',
    f'<figcaption>E[x | {z}{given}]</figcaption>',
    '</figure>',
    _plane(z, sorted(shown[:2]), shown, legend) if len(shown) > 1 else '',
    '</div>',
    '<p class="decoder-buttons">',
    _classes(condition),
    '<button type="button" id="decoder-reset">Reset</button>',
    '<button type="button" id="decoder-example">Next example</button>',
    '</p>',
    '<div class="decoder-sliders">',
    *(_slider(z, i, note, state) for i, note in zip(shown, words, strict=True)),
    '</div>',
  ]
  return '\n'.join(part for part in parts if part)


def _plane(
  z: str, chosen: Sequence[int], shown: Sequence[int], legend: dict[str, str]
) -> str:
  axes = [
    f'<label>{word} <select id="decoder-{axis}">'
    + ''.join(
      f'<option value="{i}"{" selected" if i == own else ""}>{z}[{i}]</option>'
      for i in shown
    )
    + '</select></label>'
    for axis, word, own in zip(
      'xy', ('horizontal', 'vertical'), chosen, strict=True
    )
  ]
  items = ''.join(
    f'<li><span style="background:{colour}"></span>{html.escape(name)}</li>'
    for name, colour in legend.items()
  )
  return '\n'.join(
    [
      '<figure>',
      '<canvas id="decoder-plane" tabindex="0" role="application" '
      f'aria-label="Latent plane of {z}: click, or use the arrow keys">'
      '</canvas>',
      f'<figcaption>{" ".join(axes)}</figcaption>',
      f'<ul class="decoder-legend">{items}</ul>' if items else '',
      '</figure>',
    ]
  )


def _classes(condition: Condition | None) -> str:
  if not (condition and condition.classes):
    return ''
  options = ''.join(
    f'<option value="{i}">{html.escape(str(name))}</option>'
    for i, name in enumerate(condition.classes)
  )
  return f'<label>class y <select id="decoder-class">{options}</select></label>'


def _slider(z: str, unit: int, note: str, state: dict[str, Any]) -> str:
  low, high, start = (state[name][unit] for name in ('low', 'high', 'start'))
  step = '1' if state['isDiscrete'] else 'any'
  return (
    f'<label>{z}[{unit}] <small>{html.escape(note)}</small> '
    f'<output></output><input type="range" data-unit="{unit}" min="{low}" '
    f'max="{high}" step="{step}" value="{start}"></label>'
  )
