"""Operations of the page equal those of jax, in headless Chromium."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from tests.runs.report.decoder.browser import needs_chromium, run_script
from vae_jax.runs.report.decoder import section
from vae_jax.runs.report.decoder.program import make_program

pytestmark = [needs_chromium, pytest.mark.slow]

X = np.random.RandomState(0).normal(size=24).astype(np.float32)
CUBE = (2, 3, 4)


def cube(x):
  return x.reshape(CUBE)


def unary(f):
  return lambda x: f(x * 3)


def image(x):
  return x[:18].reshape(1, 3, 3, 2)


def kernel(*shape):
  return jnp.asarray(np.random.RandomState(1).normal(size=shape), jnp.float32)


def convolve(x, w, strides, padding, **options):
  layout = ('NHWC', 'HWIO', 'NHWC')
  return lax.conv_general_dilated(
    image(x), w, strides, padding, dimension_numbers=layout, **options
  )


def loop(x, reverse):
  def step(carry, row):
    carry = jnp.tanh(carry + row) + x[:4]
    return carry, (carry * 2, jnp.sum(row))

  rows = x.reshape(6, 4)
  return lax.scan(step, jnp.ones(4), rows, reverse=reverse)


FUNCTIONS = {
  'abs': unary(jnp.abs),
  'cbrt': unary(jnp.cbrt),
  'ceil': unary(jnp.ceil),
  'clamp': lambda x: lax.clamp(-0.5, x, 0.25),
  'concatenate': lambda x: jnp.concatenate([cube(x), 2 * cube(x)], axis=1),
  'cos': unary(jnp.cos),
  'dot batch': lambda x: jnp.einsum('bij,bkj->bik', cube(x), cube(x) ** 2),
  'dot constant': lambda x: jnp.einsum('bij,kj->kbi', cube(x), kernel(5, 4)),
  'elu': jax.nn.elu,
  'erf': unary(lax.erf),
  'erfc in the tail': lambda x: jnp.log(lax.erfc(3 * jnp.abs(x))),
  'exact gelu': lambda x: jax.nn.gelu(x, approximate=False),
  'exp2': unary(jnp.exp2),
  'floor': unary(jnp.floor),
  'infinite': lambda x: jnp.isfinite(jnp.log(x)).astype(float),
  'integers': lambda x: (5 * x).astype(int).astype(float),
  'layout': lambda x: lax.conv_general_dilated(
    image(x).transpose(0, 3, 1, 2), kernel(4, 2, 2, 2), (1, 1), 'SAME'
  ),
  'log_softmax': lambda x: jax.nn.log_softmax(cube(x), axis=1),
  'logaddexp': lambda x: jnp.logaddexp(5 * x, 3.0),
  'logical': lambda x: ((x > 0) & (x < 1) | ~(x > -1)).astype(float),
  'max': lambda x: jnp.max(cube(x), axis=(0, 2)),
  'min': lambda x: jnp.min(cube(x), axis=1),
  'one hot': lambda x: jax.nn.one_hot((x > 0).astype(int), 3),
  'pad': lambda x: lax.pad(cube(x), 0.5, [(1, 0, 0), (0, 2, 1), (2, 1, 2)]),
  'power': lambda x: (jnp.abs(x) + 1) ** x + x**3 + x**-2,
  'product': lambda x: jnp.prod(cube(x), axis=0),
  'reverse': lambda x: jnp.flip(cube(x), axis=(0, 2)),
  'reversed constant': lambda x: cube(x) * jnp.flip(kernel(*CUBE), axis=1),
  'rsqrt': lambda x: lax.rsqrt(jnp.abs(x)),
  'select': lambda x: lax.select_n((x > 0).astype(jnp.int32), x, 2 * x),
  'sign': unary(jnp.sign),
  'sin': unary(jnp.sin),
  'slice': lambda x: cube(x)[:, ::2, 1:4:2],
  'split': lambda x: jnp.split(cube(x), [1, 3], axis=2)[1],
  'strides': lambda x: convolve(x, kernel(3, 2, 2, 3), (2, 1), 'SAME'),
  'sum': lambda x: jnp.sum(cube(x), axis=(1,)),
  'transpose': lambda x: cube(x).transpose(2, 0, 1),
  'transposed convolution': lambda x: lax.conv_transpose(
    image(x), kernel(4, 4, 2, 3), (2, 2), 'SAME'
  ),
  'wide': lambda x: convolve(
    x, kernel(2, 2, 2, 3), (1, 1), [(2, 0), (1, 3)], rhs_dilation=(2, 3)
  ),
  'where': lambda x: jnp.where(cube(x)[:, :1] > 0, cube(x), -1.0),
  'scan': lambda x: loop(x, False),
  'scan reversed': lambda x: loop(x, True),
}


def decoded(folder, texts):
  """Returns name -> outputs of a program of one input X, in the page."""
  code = section._scripts()[0]
  programs = ', '.join(f'{json.dumps(k)}: {v}' for k, v in texts.items())
  return run_script(
    folder,
    f'<!DOCTYPE html><body><script>{code}</script></body>',
    f'const all = {{{programs}}}, x = {json.dumps(X.tolist())}; result = {{}};'
    'for (const [name, program] of Object.entries(all)) {'
    '  const found = Object.entries(Program.load(program)(x));'
    '  result[name] = Object.fromEntries(found.map(([k, v]) => [k, [...v]]));'
    '}',
  )


def test_primitives_equal_those_of_jax(tmp_path):
  wanted, texts = {}, {}
  for name, function in FUNCTIONS.items():

    def named(_, x, function=function):
      leaves = jax.tree.leaves(function(x))
      return {str(i): leaf for i, leaf in enumerate(leaves)}

    texts[name] = make_program(named, (), X).text()
    wanted[name] = jax.jit(named)((), X)
  found = decoded(tmp_path, texts)
  assert found.keys() == wanted.keys()
  for name, outputs in wanted.items():
    assert found[name].keys() == outputs.keys()
    for key, value in outputs.items():
      np.testing.assert_allclose(
        found[name][key], np.ravel(value), rtol=2e-5, atol=2e-6, err_msg=name
      )


def test_weights_in_half_precision_are_read_to_the_bit(tmp_path):
  special = [0, 1, -1.5, 65504, -65504, 6e-8, -3e-5, 6.1e-5, 1 / 3, 2**-14]
  weights = np.concatenate([special, X[: 24 - len(special)]])
  rounded = weights.astype(np.float16).astype(np.float64)
  assert len({*rounded}) == 24
  multiply = lambda w, x: {'y': w * x}
  program = make_program(multiply, jnp.asarray(weights, jnp.float32), X)
  found = decoded(tmp_path, {'half': program.text('float16')})
  exact = rounded * X.astype(np.float64)
  np.testing.assert_array_equal(found['half']['y'], exact)
