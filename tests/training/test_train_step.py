import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import vae_jax as vj
from vae_jax import objectives
from vae_jax.training import TrainState


def test_step_equals_one_update_of_the_optimizer(key):
  loss = lambda key, params, batch: jnp.sum((params - batch) ** 2)
  sgd = optax.sgd(0.1, momentum=0.9)
  state = vj.init_train_state(jnp.array([1.0, 2.0]), sgd)
  step = vj.make_train_step(loss, sgd)
  state, metrics = step(key, state, jnp.zeros(2))
  np.testing.assert_allclose(state.params, [0.8, 1.6], rtol=1e-6)
  assert state.step == 1
  np.testing.assert_allclose(metrics['loss'], 5.0)
  np.testing.assert_allclose(metrics['grad_norm'], np.sqrt(20), rtol=1e-6)
  # The momentum of the first step: 0.8 - 0.1 (2 * 0.8 + 0.9 * 2).
  state, _ = step(key, state, jnp.zeros(2))
  np.testing.assert_allclose(state.params, [0.46, 0.92], rtol=1e-6)


def test_refit_precedes_the_gradient_and_has_its_own_key(key):
  refit = lambda key, params, batch: params + jax.random.normal(key, (2,))
  loss = lambda key, params, batch: (
    jnp.sum(params**2),
    {'draw': jax.random.normal(key)},
  )
  # Weight decay applies to the refitted parameters.
  decayed = optax.chain(optax.add_decayed_weights(0.5), optax.sgd(0.1))
  state = vj.init_train_state(jnp.ones(2), decayed)
  step = vj.make_train_step(loss, decayed, refit=refit)
  state, metrics = step(key, state, None)
  loss_key, refit_key = jax.random.split(jax.random.clone(key))
  fitted = 1 + jax.random.normal(refit_key, (2,))
  np.testing.assert_allclose(state.params, 0.75 * fitted, rtol=1e-5)
  np.testing.assert_allclose(metrics['loss'], np.sum(fitted**2), rtol=1e-5)
  np.testing.assert_allclose(metrics['draw'], jax.random.normal(loss_key))


def test_metrics_are_the_means_of_the_terms(key):
  terms = objectives.ElboTerms(*jnp.arange(6.0).reshape(3, 2))
  loss = lambda key, params, batch: (jnp.sum(params), terms)
  sgd = optax.sgd(0.1)
  state = vj.init_train_state(jnp.ones(2), sgd)
  _, metrics = vj.make_train_step(loss, sgd)(key, state, None)
  assert metrics['elbo'] == 0.5
  assert metrics['kl'] == 4.5


def test_schedule_sets_the_argument_of_the_loss_at_each_step():
  optimizer = optax.sgd(0.1)
  loss = lambda key, params, batch, *, beta: beta * jnp.sum(params**2)
  step = vj.make_train_step(
    loss, optimizer, schedules={'beta': lambda step: 0.5 * step}
  )
  state = vj.init_train_state(jnp.ones(3), optimizer)
  betas = []
  for key in jax.random.split(jax.random.key(0), 3):
    state, metrics = step(key, state, None)
    betas.append(float(metrics['beta']))
  assert betas == [0.0, 0.5, 1.0]


class WithDropout(nnx.Module):
  def __init__(self, rngs):
    self.layer = nnx.Linear(2, 2, rngs=rngs)
    self.dropout = nnx.Dropout(0.5, rngs=rngs)


@pytest.mark.parametrize(
  ('params', 'message'),
  [
    ({'w': jnp.ones(2), 'n': jnp.arange(2)}, r"params\['n'\]: got int32"),
    ({'w': jnp.ones(2), 'f': jnp.sin}, r"params\['f'\]: got <class .*Function"),
    ({'key': jax.random.key(0)}, r"params\['key'\]: got key<"),
    ([1.0, 'x'], r"params\[1\]: got <class 'str'>"),
    (
      nnx.split(WithDropout(nnx.Rngs(0)))[1],
      r"params\['dropout'\].*got .*nnx\.split\(model, nnx\.Param",
    ),
  ],
)
def test_parameters_without_a_gradient_are_named(params, message):
  with pytest.raises(TypeError, match=message):
    vj.init_train_state(params, optax.adam(1e-3))
  step = vj.make_train_step(lambda *_: 0.0, optax.sgd(0.1))
  with pytest.raises(TypeError, match=message):
    step(jax.random.key(0), TrainState(0, params, None), None)


def test_parameters_split_from_dropout_train(key):
  _, params, _ = nnx.split(WithDropout(nnx.Rngs(0)), nnx.Param, ...)
  sgd = optax.sgd(0.1)
  loss = lambda key, params, batch: jnp.sum(params['layer']['bias'][...])
  state = vj.init_train_state(params, sgd)
  state, _ = vj.make_train_step(loss, sgd)(key, state, None)
  np.testing.assert_allclose(state.params['layer']['bias'][...], -0.1)


@pytest.mark.parametrize(
  ('value', 'message'),
  [
    ((1.0, None), 'loss_fn: got NoneType, expected the loss, or a pair'),
    ((1.0, jnp.ones(2)), 'loss_fn: got ArrayImpl, expected the loss'),
    ((1.0, {}, {}), 'loss_fn: got 3 values'),
    ((1.0, {'kl': None}), "loss_fn: term 'kl' is a NoneType"),
    ((1.0, {'kl': {'a': 1.0}}), "loss_fn: term 'kl' is a dict"),
  ],
)
def test_terms_that_are_no_arrays_are_named(value, message, key):
  sgd = optax.sgd(0.1)
  state = vj.init_train_state(jnp.ones(2), sgd)
  with pytest.raises(TypeError, match=message):
    vj.make_train_step(lambda *_: value, sgd)(key, state, None)
