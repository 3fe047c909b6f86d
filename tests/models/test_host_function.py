import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers import assert_trees_close
from vae_jax.models import host_function


class MatVec:
  """w @ x in NumPy, with its vector-Jacobian product."""

  def __init__(self):
    self.calls = []

  def __repr__(self):
    return 'MatVec'

  def value(self, inputs, *, batch_axes):
    self.calls.append(('value', batch_axes, *(x.shape for x in inputs)))
    w, x = inputs
    return [(w @ x[..., None])[..., 0]]

  def pullback(self, inputs, cotangents, *, which, batch_axes, map_axes):
    self.calls.append(('pullback', which))
    (w, x), (ct,) = inputs, cotangents
    found = []
    for i in which:
      if i == 0:
        full = ct[..., :, None] * x[..., None, :]
      else:
        full = (np.swapaxes(w, -1, -2) @ ct[..., None])[..., 0]
      summed = range(map_axes, map_axes + batch_axes)
      axes = tuple(a for a in summed if inputs[i].shape[a] == 1)
      found.append(full.sum(axes, keepdims=True))
    return found


def make():
  function = MatVec()

  def apply(w, x):
    out = jax.ShapeDtypeStruct(w.shape[:1], w.dtype)
    return host_function.call(function, [w, x], [out])[0]

  return function, apply


draw = np.random.RandomState(0).standard_normal
W, X = draw((3, 4)).astype('float32'), draw((5, 4)).astype('float32')


def loss(apply):
  return lambda w, x: jnp.sum(jnp.tanh(jax.vmap(apply, (None, 0))(w, x)) ** 2)


def test_an_input_without_a_batch_axis_is_one_array_with_a_summed_gradient():
  function, apply = make()
  found = jax.jit(jax.grad(loss(apply), (0, 1)))(W, X)
  assert_trees_close(found, jax.grad(loss(jnp.matmul), (0, 1))(W, X), rtol=1e-5)
  assert function.calls == [
    ('value', 1, (1, 3, 4), (5, 4)),
    ('pullback', (0, 1)),
  ]


def test_gradients_per_example_are_not_summed():
  _, apply = make()
  each = lambda apply: jax.vmap(
    jax.grad(lambda w, x: jnp.sum(apply(w, x) ** 2)), (None, 0)
  )
  exact = each(jnp.matmul)(W, X)
  assert exact.shape == (5, 3, 4)
  assert_trees_close(jax.jit(each(apply))(W, X), exact, rtol=1e-5)
  assert_trees_close(each(apply)(W, X), exact, rtol=1e-5)


def test_only_the_gradients_in_use_are_computed():
  function, apply = make()
  jax.grad(loss(apply), 1)(W, X)
  assert function.calls[-1] == ('pullback', (1,))


def test_other_derivatives_are_refused():
  _, apply = make()
  inner = lambda x: jnp.sum(jax.grad(loss(apply), 1)(W, x))
  with pytest.raises(TypeError, match='MatVec has no second derivative'):
    jax.jit(jax.grad(inner))(X)
  with pytest.raises(TypeError, match='no derivative in forward mode'):
    jax.jit(jax.jacfwd(loss(apply)))(W, X)


# Arrays that are not aligned as jax wants them are copied by a thread of XLA,
# of which one core has one: `jax.pure_callback` waits for ever.
ONE_CORE = """
import os
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
import jax, jax.numpy as jnp, numpy as np
from tests.models import test_host_function as tests
function, apply = tests.make()
size = 512
memory = np.ones(size * size + 3, np.float32) / size
w = memory[3:].reshape(size, size)

@jax.jit
def f(x):
  step = lambda x, _: (jnp.tanh(apply(w, x)), None)
  return jnp.sum(jax.lax.scan(step, x, None, length=10)[0])

for _ in range(3):
  value, gradient = jax.value_and_grad(f)(jnp.ones(size))
print('done', np.isfinite(value) and np.isfinite(gradient).all())
"""


@pytest.mark.slow
def test_one_core_does_not_deadlock():
  done = subprocess.run(
    [sys.executable, '-c', ONE_CORE],
    capture_output=True,
    text=True,
    timeout=60,
    check=True,
  )
  assert done.stdout == 'done True\n'
