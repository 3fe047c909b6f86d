"""Decoders in the page compute the same p(x|z) as jax, in headless Chromium."""

import json

import jax
import numpy as np
import pytest

import vae_jax as vj
from tests.runs.report.decoder.browser import needs_chromium, run_script
from vae_jax.models import LIKELIHOODS
from vae_jax.models.networks import ACTIVATIONS
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
