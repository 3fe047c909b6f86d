import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vae_jax.training import OPTIMIZERS
from vae_jax.training.adam import adam, scale_by_adam

PARAMS = {'w': jnp.array([[1.0, -2.0], [3.0, 0.5]]), 'b': jnp.zeros(2)}
RATES = [1e-2, optax.schedules.cosine_decay_schedule(0.1, 50)]


def descend(optimizer, scale=1.0, num_steps=50):
  """Minimises a noisy quadratic; returns all parameters and the state."""

  @jax.jit
  def step(i, params, state):
    key = jax.random.fold_in(jax.random.key(0), i)
    noise = jax.random.normal(key)
    grads = jax.tree.map(lambda p: scale * (p - 0.3 + noise), params)
    updates, state = optimizer.update(grads, state, params)
    return optax.apply_updates(params, updates), state

  params, state, path = PARAMS, optimizer.init(PARAMS), []
  for i in range(num_steps):
    params, state = step(i, params, state)
    path.append(params)
  return jax.tree.map(lambda *x: np.stack(x), *path), state


@pytest.mark.parametrize('rate', RATES, ids=['constant', 'schedule'])
@pytest.mark.parametrize('scale', [1.0, 1e-8, 1e4])
def test_adam_equals_that_of_optax(rate, scale):
  """Gradients near eps = 1e-8 show where eps is added."""
  path, state = descend(adam(rate), scale)
  expected, other = descend(optax.adam(rate), scale)
  close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
  jax.tree.map(close, path, expected)
  # A checkpoint of either is one of the other.
  assert jax.tree.structure(state) == jax.tree.structure(other)


def test_constants_are_those_of_optax():
  constants = {'b1': 0.5, 'b2': 0.9, 'eps': 1e-2}
  path, _ = descend(scale_by_adam(**constants), num_steps=5)
  expected, _ = descend(optax.scale_by_adam(**constants), num_steps=5)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), path, expected
  )


def test_low_precision_parameters_keep_their_dtype():
  params = jax.tree.map(lambda p: p.astype(jnp.bfloat16), PARAMS)
  optimizer = adam(0.1)
  updates, state = optimizer.update(params, optimizer.init(params), params)
  dtypes = {x.dtype for x in jax.tree.leaves((updates, state[0].mu))}
  assert dtypes == {jnp.dtype(jnp.bfloat16)}


def test_the_name_adam_is_this_one():
  assert OPTIMIZERS['adam'].make is adam
