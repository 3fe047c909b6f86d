"""Section of the page that decodes: markup, data and what is left out."""

import json
import re

import jax
import numpy as np
import pytest

import vae_jax as vj
from tests.runs.report.test_html import NASTY, Reader
from vae_jax.data import Condition
from vae_jax.evaluate import measure_latents
from vae_jax.runs.report import html
from vae_jax.runs.report.decoder import section
from vae_jax.runs.report.decoder.emitter import UnsupportedError

COUNT = 12


def make(shape=(3, 4, 1), labels=None, condition=None, y=None, **options):
  """Returns arguments of `make_section` for untrained parameters."""
  given = {'hidden_sizes': (), 'latent_dim': 3, **options}
  model = vj.make_vae(data_shape=shape, **given)
  params = model.init(jax.random.key(0))
  x = np.random.RandomState(0).randint(0, 2, (COUNT, *shape)).astype(np.uint8)
  data = x if y is None else {'x': x, 'y': y}
  latents = measure_latents(jax.random.key(1), model, params, data)
  some = np.arange(COUNT)
  encoded = section.Encoded(latents, labels, section.conditions_of(data, some))
  images = 255 * x if len(shape) > 1 else x
  return model, params, images, data, encoded, condition


def page_of(widget):
  return html.make_page(
    'T', 'o', {'Test split': [('a', 'b')]}, [], decoder=widget
  )


def data_of(text):
  [found] = re.findall(r'id="decoder-data">(.*?)</script>', text, re.DOTALL)
  return json.loads(found)


@pytest.fixture(scope='module')
def text():
  labels = np.array([NASTY, 'b', 'c'] * (COUNT // 3))
  return page_of(section.make_section(*make(labels=labels)))


def test_page_with_a_decoder_loads_nothing_from_outside(text):
  reader = Reader(text)
  for _, attributes in reader.elements:
    for name, value in attributes.items():
      assert not name.startswith('on')
      assert name not in ('src', 'srcset', 'data', 'action')
      assert name != 'href' or value.startswith('data:')
  for script in reader.all('script'):
    assert script.keys() <= {'type', 'id'}
  code = '\n'.join(section._scripts())
  for word in ('http', 'fetch', 'XMLHttp', 'import', 'Worker', 'eval', '</'):
    assert word not in code
  assert text.count('</body>') == 1
  assert html.with_links(text, []) == text


def test_scripts_keep_the_style_of_the_house():
  for code in (*section._scripts(), section._resource('page.css')):
    lines = code.splitlines()
    assert len(lines) <= 300
    assert all(len(line) <= 80 and '\t' not in line for line in lines)
    # Indents of two spaces.
    assert all(
      (len(line) - len(line.lstrip())) % 2 == 0 for line in lines if line
    )


def test_every_control_has_a_label_and_units_are_sorted_by_kl(text):
  reader = Reader(text)
  sliders = [x for x in reader.all('input') if x['type'] == 'range']
  kl = data_of(text)
  units = [int(x['data-unit']) for x in sliders]
  assert sorted(units) == [0, 1, 2]
  found = [float(x) for x in re.findall(r'KL ([\d.]+) nats</small>', text)]
  assert found == sorted(found, reverse=True)
  assert len(found) == 3
  for slider, unit in zip(sliders, units, strict=True):
    assert float(slider['min']) == kl['low'][unit] <= -3
    assert float(slider['max']) == kl['high'][unit] >= 3
    assert slider['step'] == 'any'
  for tag in ('input', 'select'):
    assert len(re.findall(rf'<label>[^\n]*<{tag}', text)) >= 1
  for canvas in reader.all('canvas'):
    assert canvas['aria-label']
  [plane] = [x for x in reader.all('canvas') if x['id'] == 'decoder-plane']
  assert plane['tabindex'] == '0'


def test_labels_are_escaped_and_coloured(text):
  found = data_of(text)
  assert found['labels'][:3] == [NASTY, 'b', 'c']
  assert len({*found['colours'][:3]}) == 3
  assert found['colours'][:3] == found['colours'][3:6]
  assert NASTY in Reader(text).texts_in('li')


def test_examples_are_those_of_the_latents():
  arguments = make()
  latents = arguments[4].latents
  found = data_of(page_of(section.make_section(*arguments)))
  np.testing.assert_allclose(found['examples'], latents.means, rtol=1e-3)
  np.testing.assert_allclose(found['start'], latents.means[0], rtol=1e-3)
  assert found['picture'] == {
    **{'kind': 'image', 'height': 3, 'width': 4, 'channels': 1, 'white': 1}
  }


@pytest.mark.slow
def test_sliders_are_the_twenty_units_of_the_largest_kl():
  arguments = make(latent_dim=23)
  text = section.make_section(*arguments).content
  units = [int(x) for x in re.findall(r'data-unit="(\d+)"', text)]
  assert 'the 20 of 23 units with the largest KL' in text
  kl = arguments[4].latents.kl.mean
  assert units == np.argsort(-kl, kind='stable')[:20].tolist()


def test_a_conditional_model_has_a_select_of_its_classes():
  y = np.arange(COUNT, dtype=np.int32) % 2
  condition = Condition((3, 8))
  arguments = make(y=y, condition=condition, num_classes=2)
  text = section.make_section(*arguments).content
  options = re.findall(r'<option value="\d">(\d)</option>', text)
  assert options == ['3', '8']
  assert 'E[x | z, y]' in text
  assert data_of(text)['y'] == [[i % 2] for i in range(COUNT)]
  assert len(data_of(text)['program']['inputs']) == 2


@pytest.mark.slow
def test_of_a_hierarchy_the_sliders_are_the_top_layer():
  arguments = make(latent_dims=(4, 2), layer_hidden_sizes=())
  text = section.make_section(*arguments).content
  assert 'z2 is the top layer; the layers below are at the means of p.' in text
  assert len(re.findall('data-unit', text)) == 2
  means = arguments[4].latents.layer('z2').means
  np.testing.assert_allclose(data_of(text)['examples'], means, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
  ('options', 'ends', 'step'),
  [
    ({'prior': 'bernoulli', 'posterior': 'bernoulli'}, (0, 1), '1'),
    (
      {'prior': 'categorical', 'posterior': 'categorical', 'num_categories': 5},
      (0, 4),
      '1',
    ),
    ({'prior': 'beta', 'posterior': 'beta'}, (0.001, 0.999), 'any'),
  ],
  ids=['bits', 'labels', 'beta'],
)
def test_sliders_move_in_the_support_of_the_prior(options, ends, step):
  text = section.make_section(*make(**options)).content
  found = data_of(text)
  assert (found['low'][0], found['high'][0]) == pytest.approx(ends, abs=1e-3)
  assert f'step="{step}"' in text
  # Means of labels are those of one-hot vectors, which are no z.
  assert found['isEncoded'] == (ends != (0, 4))
  if step == '1':
    assert all(x == int(x) for z in found['examples'] for x in z)


@pytest.mark.slow
def test_without_quantiles_the_sliders_exceed_the_means():
  arguments = make(prior='mixture', num_components=3)
  found = data_of(section.make_section(*arguments).content)
  means = arguments[4].latents.means
  span = means.max(axis=0) - means.min(axis=0)
  np.testing.assert_allclose(
    found['high'], means.max(axis=0) + 0.1 * span, rtol=1e-3, atol=1e-3
  )


def test_vectors_are_drawn_as_bars():
  text = section.make_section(*make((6,))).content
  assert 'A bar is a number of x' in text
  found = data_of(text)
  assert found['picture'] == {'kind': 'bars', 'size': 6, 'low': 0, 'high': 1}


@pytest.mark.slow
@pytest.mark.parametrize(
  ('options', 'reason'),
  [
    ({'shape': (501,)}, 'x is a vector of 501 numbers, more than 500 bars'),
    ({'shape': (3, 4, 2)}, r'x has the shape \(3, 4, 2\)'),
  ],
)
def test_other_data_are_left_out_with_a_reason(options, reason):
  with pytest.raises(UnsupportedError, match=reason):
    section.make_section(*make(**options))


def test_a_decoder_above_the_limit_is_a_sentence(monkeypatch):
  monkeypatch.setattr(section, 'MAX_BYTES', 25_000)
  widget, reason = section.attempt(*make(hidden_sizes=(400,)))
  assert re.fullmatch(r'its \d+ numbers take 0\.0 MB, above .* MB', reason)
  assert Reader(page_of(widget)).texts_in('p') == [
    f'This page does not decode: {reason}.'
  ]
  assert '<script' not in page_of(widget)


def test_an_error_is_a_sentence_not_the_end_of_the_report():
  model, *others = make()
  broken = model._replace(decode=lambda params, z: 1 / 0)
  widget, reason = section.attempt(broken, *others)
  assert reason == 'it failed (ZeroDivisionError: division by zero)'
  assert reason in widget.content
