"""Decoders in the page compute the same p(x|z) as jax, in headless Chromium."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from tests.runs.report.decoder.browser import needs_chromium, run_script
from vae_jax.data import Condition
from vae_jax.evaluate import measure_latents
from vae_jax.models import LIKELIHOODS
from vae_jax.models.networks import ACTIVATIONS
from vae_jax.runs.report import html
from vae_jax.runs.report.decoder import model as decoder_model, section
from vae_jax.runs.report.decoder.program import make_program

pytestmark = [needs_chromium, pytest.mark.slow]

# Largest error of a logit, or of another parameter of p(x|z): a hundredth of
# the error that could be seen, 1e-2.
TOLERANCE = 1e-4
IMAGE = (6, 5, 1)
SMALL = {'hidden_sizes': (7,), 'latent_dim': 3}
CASES = {
  **{f'{name}': {'activation': name} for name in ACTIVATIONS},
  **{name: {'likelihood': name} for name in LIKELIHOODS},
  'gated': {'network': 'gated_mlp'},
  'conv': {'network': 'conv', 'channels': (3, 4)},
  'resnet': {
    **{'network': 'resnet', 'channels': (3, 4), 'num_blocks': 2},
    **{'data_shape': (7, 6, 3), 'likelihood': 'normal'},
  },
  'linear': {'hidden_sizes': ()},
  'total': {'likelihood': 'poisson', 'size_factor': 'total'},
  'layers': {'latent_dims': (4, 3), 'layer_hidden_sizes': (5,)},
  'top-down': {
    **{'latent_dims': (4, 3, 2), 'layer_hidden_sizes': (5,)},
    'inference': 'top_down',
  },
  'mixture': {'prior': 'mixture'},
  'vamp': {'prior': 'vamp', 'num_components': 3},
  'realnvp': {'prior': 'realnvp'},
  'gamma': {'prior': 'gamma', 'posterior': 'gamma'},
  'bits': {'prior': 'bernoulli', 'posterior': 'bernoulli'},
  'labels': {'prior': 'categorical', 'posterior': 'categorical'},
  'classes': {'num_classes': 4},
  'covariates': {'num_covariates': 2},
  'missing': {'missing': True},
}


def scattered(params):
  """Returns parameters none of which is zero."""
  leaves, tree = jax.tree.flatten(params)
  keys = jax.random.split(jax.random.key(7), len(leaves))
  noise = [
    x + 0.2 * jax.random.normal(key, x.shape)
    for x, key in zip(leaves, keys, strict=True)
  ]
  return jax.tree.unflatten(tree, noise)


def build(case):
  options = {'data_shape': IMAGE, **SMALL, **CASES[case]}
  model = vj.make_vae(**options)
  params = scattered(model.init(jax.random.key(0)))
  x = np.random.RandomState(0).randint(0, 2, (5, *options['data_shape']))
  data = x = x.astype(np.float32)
  if 'num_classes' in options:
    data = {'x': x, 'y': np.array([1, 3, 0, 2, 1], np.int32)}
  if 'num_covariates' in options:
    y = np.random.RandomState(1).normal(size=(5, 2)).astype(np.float32)
    data = {'x': x, 'y': y}
  if options.get('missing'):
    data = {'x': x, 'mask': np.random.RandomState(2).rand(*x.shape) > 0.3}
  return model, params, data


@pytest.mark.long
def test_every_kind_of_model_equals_jax(tmp_path):
  calls, wanted = [], {}
  for case in CASES:
    model, params, data = build(case)
    decoder = decoder_model.make_decoder(model, params, data)
    shape, dtype = decoder.z.shape, decoder.z.dtype
    draws = np.random.RandomState(3).normal(size=(3, *shape))
    draws = np.abs(draws) if case == 'gamma' else 1.5 * draws
    if decoder.is_discrete:
      draws = np.random.RandomState(3).randint(0, 2, (3, *shape))
    z = draws.astype(dtype)
    inputs = [[each] for each in z]
    if decoder.is_conditional:
      inputs = [[each, y] for each, y in zip(z, data['y'], strict=False)]
    program = make_program(decoder.function, decoder.bound, *inputs[0])
    function = jax.jit(decoder.function)
    wanted[case] = [function(decoder.bound, *each) for each in inputs]
    given = [[np.ravel(x).tolist() for x in each] for each in inputs]
    calls.append(f'{json.dumps(case)}: [{program.text()}, {json.dumps(given)}]')
  code = section._scripts()[0]
  page = f'<!DOCTYPE html><body><script>{code}</script></body>'
  found = run_script(
    tmp_path,
    page,
    f'const all = {{{", ".join(calls)}}}; result = {{}};'
    'for (const [name, [program, inputs]] of Object.entries(all)) {'
    '  const decode = Program.load(program);'
    '  result[name] = inputs.map((each) => Object.fromEntries('
    '    Object.entries(decode(...each)).map(([k, v]) => [k, [...v]])));'
    '}',
  )
  assert found.keys() == CASES.keys()
  for case in CASES:
    for here, there in zip(found[case], wanted[case], strict=True):
      assert 'mean' in here
      varied = {k for k in here if k != 'mean'}
      assert varied, case
      for name, values in here.items():
        np.testing.assert_allclose(
          values,
          np.ravel(there[name]),
          rtol=TOLERANCE,
          atol=TOLERANCE,
          err_msg=f'{case}, {name}',
        )
    first, second = (np.array(x['mean']) for x in found[case][:2])
    assert np.abs(first - second).max() > 1e-3, case


# Waits until the page has drawn.
FRAME = 'const frame = () => new Promise((f) => requestAnimationFrame(f));'


def pixels(mean, shape):
  """Returns a mean as the page draws it, RGBA `[H, W, 4]`."""
  x = np.broadcast_to(np.reshape(mean, shape), (*shape[:2], 3))
  levels = np.floor(255 * np.clip(x, 0, 1) + 0.5)
  return np.concatenate([levels, np.full((*shape[:2], 1), 255)], axis=-1)


# What a reader does, and what the page shows after each act.
_USE_THE_CONTROLS = """
const all = (name) => [...document.querySelectorAll(name)];
const picture = document.getElementById('decoder-picture');
const plane = document.getElementById('decoder-plane');
const seen = async () => {
  await frame();
  const {width, height} = picture;
  const context = picture.getContext('2d');
  return {
    z: all('.decoder-sliders output').map((x) => Number(x.textContent)),
    units: all('.decoder-sliders input').map((x) => +x.dataset.unit),
    pixels: [...context.getImageData(0, 0, width, height).data],
    status: document.getElementById('decoder-status').textContent,
  };
};
result = {logits: [...vaeDecode([0.5, -1]).logits], start: await seen()};
const slider = all('.decoder-sliders input')[0];
slider.value = 1.5;
slider.dispatchEvent(new Event('input'));
result.slider = await seen();
const box = plane.getBoundingClientRect();
const at = {clientX: box.left + box.width / 2, clientY: box.top + 1};
plane.setPointerCapture = () => {};
plane.dispatchEvent(new PointerEvent('pointerdown', at));
result.click = await seen();
plane.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowLeft'}));
result.key = await seen();
document.getElementById('decoder-example').click();
result.example = await seen();
document.getElementById('decoder-reset').click();
result.reset = await seen();
result.requests = performance.getEntriesByType('resource').length;
"""


def test_the_report_of_a_run_decodes_and_its_controls_draw(trained, tmp_path):
  found = run_script(
    tmp_path,
    (trained.folder / 'report.html').read_text(),
    FRAME + _USE_THE_CONTROLS,
  )
  run = vj.load_run(trained.folder)
  decode = lambda z: run.model.decode(run.params, jnp.asarray(z, jnp.float32))
  logits = np.ravel(decode([0.5, -1.0]).logits)
  np.testing.assert_allclose(found['logits'], logits, atol=TOLERANCE)
  assert found['requests'] == 0
  state = {}
  for event in ('start', 'slider', 'click', 'key', 'example', 'reset'):
    seen = found[event]
    z = np.array(seen['z'])[np.argsort(seen['units'])]
    state[event] = z
    drawn = np.reshape(seen['pixels'], (8, 8, 4))
    # Values of z are displayed with two decimals.
    expected = pixels(decode(z).mean(), (8, 8, 1))
    assert np.abs(drawn - expected).max() <= 3, event
  first = found['start']['units'][0]
  assert state['slider'][first] == 1.5
  assert state['slider'][1 - first] == state['start'][1 - first]
  assert abs(state['click'][0]) < 0.1 * abs(state['click'][1])
  assert state['click'][1] > 3
  assert state['key'][0] < state['click'][0]
  assert state['key'][1] == state['click'][1]
  assert state['example'].tolist() != state['start'].tolist()
  assert state['reset'].tolist() == state['start'].tolist()
  assert re.match(r'z of a test example, label \d', found['reset']['status'])
  assert found['slider']['status'] == ''


def test_the_select_of_a_conditional_page_sets_y(tmp_path):
  model, params, data = build('classes')
  latents = measure_latents(jax.random.key(1), model, params, data)
  images = np.uint8(255 * data['x'])
  widget = section.make_section(
    model,
    params,
    images,
    data,
    section.Encoded(latents, None, data['y']),
    Condition((0, 1, 2, 3)),
  )
  found = run_script(
    tmp_path,
    html.make_page('T', 'o', {}, [], decoder=widget),
    FRAME
    + """
    const select = document.getElementById('decoder-class');
    const z = [0.3, -0.2, 1];
    await frame();
    result = {first: select.value, before: [...vaeDecode(z).logits]};
    select.value = 2;
    select.dispatchEvent(new Event('change'));
    result.after = [...vaeDecode(z).logits];
    """,
  )
  assert found['first'] == '1'
  z = jnp.array([0.3, -0.2, 1.0])
  for name, y in (('before', 1), ('after', 2)):
    logits = model.decode(params, z, jnp.int32(y)).logits
    np.testing.assert_allclose(
      found[name], np.ravel(logits), rtol=TOLERANCE, atol=TOLERANCE
    )


def test_vectors_are_bars_of_the_mean(tmp_path):
  model = vj.make_vae(data_shape=(4,), likelihood='normal', **SMALL)
  params = scattered(model.init(jax.random.key(0)))
  x = np.random.RandomState(0).normal(size=(9, 4)).astype(np.float32)
  latents = measure_latents(jax.random.key(1), model, params, x)
  encoded = section.Encoded(latents, None)
  widget = section.make_section(model, params, x, x, encoded)
  found = run_script(
    tmp_path,
    html.make_page('T', 'o', {}, [], decoder=widget),
    FRAME
    + """
    await frame();
    const {data} = document.getElementById('decoder-picture')
      .getContext('2d').getImageData(0, 0, 640, 400);
    const counts = [0, 1, 2, 3].map((bar) => {
      let count = 0;
      for (let y = 0; y < 400; y++) {
        const i = 4 * (y * 640 + 70 + 140 * bar + 70);
        count += data[i] === 63 && data[i + 1] === 144;
      }
      return count;
    });
    const page = JSON.parse(
      document.getElementById('decoder-data').textContent);
    result = {counts, mean: [...vaeDecode(page.start).mean]};
    """,
  )
  mean = np.array(found['mean'])
  low, high = min(x.min(), mean.min()), max(x.max(), mean.max())
  expected = 360 * np.abs(mean) / (high - low)
  np.testing.assert_allclose(found['counts'], expected, atol=2)
