import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.runs.scalars import unsettled_scalars

BATCHES = [jnp.array([1.0, 3.0]), jnp.array([2.0, 6.0])]


def loss(key, params, batch):
  """A quadratic of minimum 3, and curvature 100, and a flat scalar."""
  del key
  error = params['a']['scale'] - jnp.mean(batch)
  return 50 * error**2 + 0 * params['flat'] + jnp.sum(params['w']), None


def sentences(value, make_batches=lambda: BATCHES, **more):
  params = {
    'a': {'scale': jnp.asarray(value)},
    'flat': jnp.zeros(()),
    'w': jnp.zeros(3),
  }
  return unsettled_scalars(loss, jax.random.key(0), params | more, make_batches)


@pytest.mark.parametrize('value', [2.0, 2.9, 3.1, 4.0])
def test_scalars_off_their_optimum_are_named_with_the_gain(value):
  (line,) = sentences(value)
  better = value + 0.05 * np.sign(3 - value)
  gain = 50 * ((value - 3) ** 2 - (better - 3) ** 2)
  assert line == (
    f'the parameter a/scale is still moving: it is {value:.4g}, and '
    f'{better:.4g} lowers the training loss by {gain:.3g} nats per example'
  )


@pytest.mark.parametrize('value', [2.98, 3.0, 3.02])
def test_scalars_at_their_optimum_are_not_named(value):
  assert sentences(value) == []


def test_models_without_scalars_cost_nothing():
  params = {'w': jnp.zeros(3), 'count': jnp.zeros((), jnp.int32)}
  assert unsettled_scalars(None, jax.random.key(0), params, None) == []
