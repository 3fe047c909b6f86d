"""Programs of the page: refusals, size limit and half precision."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.runs.report.decoder.emitter import UnsupportedError
from vae_jax.runs.report.decoder.program import fit_text, make_program

Z = jnp.array([0.5, -1.0])


def linear(w, z):
  return {'y': w @ z}


@pytest.mark.parametrize(
  ('function', 'reason'),
  [
    (lambda z: jnp.sort(z), 'the primitive sort'),
    (lambda z: z[jnp.argmax(z)], 'the primitive argmax'),
    (lambda z: jnp.cumsum(z), 'the primitive cumsum'),
    (lambda z: z.astype(jnp.bfloat16), 'convert_element_type of bfloat16'),
    (lambda z: z.astype(jnp.uint8), 'convert_element_type of uint8'),
    (lambda z: z.astype(int) // 2, 'div of integers'),
    (lambda z: z.astype(int) & 3, 'and of integers'),
    (
      lambda z: jax.lax.pad(z, 0.0, [(-1, 0, 0)]),
      'pad with a negative width',
    ),
    (
      lambda z: jax.lax.while_loop(lambda x: x[0] < 9, lambda x: 2 * x, z),
      'the primitive while',
    ),
    (lambda z: z * jnp.array([1.0, jnp.nan]), 'a weight that is not finite'),
  ],
  ids=lambda x: x if isinstance(x, str) else '',
)
def test_an_unknown_operation_is_refused_by_name(function, reason):
  with pytest.raises(UnsupportedError, match=f'^{reason}$'):
    make_program(lambda _, z: {'y': function(z)}, (), Z)


def test_uniform_constants_take_one_number():
  program = make_program(lambda _, z: {'y': z + jnp.full(2, 3.5)}, (), Z)
  assert not program.weights.size
  [constant] = program.ops['constants']
  assert constant[1:] in ([2, 3.5], [1, 3.5])
  program = make_program(lambda _, z: {'y': z + jnp.full(2, -jnp.inf)}, (), Z)
  assert program.ops['constants'][0][2] == '-inf'


def test_repeated_constants_are_stored_once():
  row = jnp.array([[1.0, 2.0]])

  def function(_, z):
    return {'y': jnp.broadcast_to(jnp.sum(z), (50, 1)) * row}

  assert make_program(function, (), Z).weights.tolist() == [1, 2]


def test_size_is_that_of_the_text():
  program = make_program(linear, jnp.arange(14.0).reshape(7, 2), Z)
  for dtype in ('float32', 'float16'):
    assert program.size(dtype) == len(program.text(dtype))
    assert json.loads(program.text(dtype))['dtype'] == dtype


def test_half_precision_only_where_it_fits_and_is_accurate():
  values = np.random.RandomState(0).normal(size=(500, 2))
  points = [np.random.RandomState(1).normal(size=(9, 2)).astype(np.float32)]
  program = make_program(linear, jnp.asarray(values, np.float32), Z)
  full, half = program.size(), program.size('float16')
  dtype = lambda *args: json.loads(fit_text(*args))['dtype']
  assert dtype(program, points, full) == 'float32'
  assert dtype(program, points, full - 1) == 'float16'
  with pytest.raises(UnsupportedError, match=r'1000 numbers take 0\.0 MB'):
    fit_text(program, points, half - 1)
  for factor in (1e2, 1e6):  # Rounding; beyond the largest float16.
    large = make_program(linear, factor * jnp.asarray(values, np.float32), Z)
    with pytest.raises(UnsupportedError, match='half precision only, with an'):
      fit_text(large, points, full - 1)
