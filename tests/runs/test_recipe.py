"""The recipe of a run, mostly traced: nothing is trained."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vae_jax import data
from vae_jax.errors import UserError
from vae_jax.models.make import make_vae
from vae_jax.runs import (
  Config,
  batches,
  model as run_model,
  recipe,
  splits,
  steps,
)
from vae_jax.runs.recipe import make_run
from vae_jax.training import make_loss, make_optimizer

SMALL = {'hidden_sizes': (3,), 'latent_dim': 2, 'batch_size': 4}

IMAGES = np.random.RandomState(0).randint(0, 256, (30, 2, 2, 1), np.uint8)


@pytest.fixture
def tiny(monkeypatch):
  """Gives every run 23 small images, and leaves out the compiled parts."""

  def load_train(config, tell=None):
    count = min(config.data.num_validation, 7)
    return data.Split(IMAGES[count:], None), data.Split(IMAGES[:count], None)

  monkeypatch.setattr(splits, 'load_train', load_train)
  monkeypatch.setattr(splits, 'preprocess', lambda config, x: x[:, :0])


def test_vamp_starts_at_training_examples_in_the_bounds(tiny, monkeypatch):
  seen = []

  def preprocess(config, x):
    seen.append(x)
    return x / np.float32(255)

  monkeypatch.setattr(splits, 'preprocess', preprocess)
  options = {'num_validation': 7, 'prior': 'vamp', 'num_pseudo_inputs': 5}
  config = Config(**SMALL, **options)
  model = make_run(config, splits_of(config)).model
  params = model.init(jax.random.key(0))
  start = params['prior']['pseudo_inputs']
  assert start.shape == (5, 2, 2, 1)
  # Different training images, and none of the validation split.
  match = [
    [np.allclose(u, x / 255, atol=1e-6) for x in IMAGES[7:]] for u in start
  ]
  np.testing.assert_array_equal(np.sum(match, axis=1), 1)
  assert np.sum(match, axis=0).max() == 1
  np.testing.assert_array_equal(seen[0], np.asarray(seen[0], np.uint8))
  # A run is restored without its data.
  restored = make_vae(config.model, (2, 2, 1))
  shapes = [
    jax.eval_shape(each.init, jax.random.key(0)) for each in (model, restored)
  ]
  assert jax.tree.structure(shapes[0]) == jax.tree.structure(shapes[1])
  assert jax.tree.leaves(shapes[0]) == jax.tree.leaves(shapes[1])


def splits_of(config):
  train, validation = splits.load_train(config)
  return splits.Splits(train=train, validation=validation, test=validation)


def test_more_pseudo_inputs_than_training_images_are_refused(tiny):
  config = Config(**SMALL, num_validation=7, prior='vamp', num_pseudo_inputs=24)
  wanted = '--num_pseudo_inputs: got 24, expected at most 23, the training ex'
  with pytest.raises(UserError, match=wanted):
    make_run(config, splits_of(config))


def program(function, *args):
  """Returns a traced program as text."""
  # Addresses of Python functions differ between two traces.
  return re.sub(r' at 0x[0-9a-f]+', '', str(jax.make_jaxpr(function)(*args)))


@functools.cache
def traced(**options):
  """Returns the program of a loss, its gradient and the optimizer."""
  config = Config(**(SMALL | options))
  model = make_vae(config.model, (2, 2, 1))
  loss = make_loss(model, config.objective)
  optimizer = make_optimizer(config.optimizer, steps_per_epoch=3)
  params = jax.eval_shape(model.init, jax.random.key(0))
  state = jax.eval_shape(optimizer.init, params)

  def step(key, params, state, x):
    gradient = jax.grad(loss, 1, has_aux=True)(key, params, x)[0]
    return optimizer.update(gradient, state, params)

  return program(step, jax.random.key(0), params, state, jnp.ones((2, 2, 2, 1)))


WEIGHTED = {'objective': 'iwae', 'num_samples': 2}
RELAXED = {
  'posterior': 'bernoulli',
  'prior': 'bernoulli',
  'estimator': 'gumbel_softmax',
}


@pytest.mark.quick('default-normal', 'iwae-2-dreg', 'normal-normal_fixed')
@pytest.mark.parametrize(
  ('base', 'change'),
  [
    ({}, {'activation': 'relu'}),
    ({}, {'beta': 3.0}),
    ({}, {'form': 'joint'}),
    ({}, {'form': 'entropy'}),
    ({'form': 'joint'}, {'estimator': 'stl'}),
    ({}, {'estimator': 'adaptive'}),
    ({}, {'estimator': 'score_function'}),
    (RELAXED, {'estimator': 'straight_through'}),
    (RELAXED, {'estimator': 'enumeration'}),
    (RELAXED, {'temperature': 0.3}),
    ({}, {'free_bits': 1.0}),
    ({}, {'hidden_sizes': (3, 3)}),
    ({}, {'hidden_sizes': ()}),
    ({}, {'likelihood': 'continuous_bernoulli'}),
    ({}, {'likelihood': 'discretised_logistic'}),
    ({}, {'likelihood': 'normal'}),
    ({'likelihood': 'normal'}, {'likelihood': 'normal_optimal'}),
    ({'likelihood': 'normal'}, {'likelihood': 'normal_fixed'}),
    ({'likelihood': 'normal_fixed'}, {'sigma': 0.3}),
    ({}, {'latent_dim': 3}),
    ({}, {'learning_rate': 0.01}),
    ({}, {'num_samples': 2}),
    ({'num_samples': 2}, {'objective': 'iwae'}),
    (WEIGHTED, {'estimator': 'dreg'}),
    (WEIGHTED, {'estimator': 'vimco'}),
    (WEIGHTED, {'objective': 'miwae', 'num_groups': 2}),
    ({'num_groups': 2, 'objective': 'miwae'}, {'objective': 'piwae'}),
    (WEIGHTED, {'objective': 'ciwae'}),
    (WEIGHTED | {'objective': 'ciwae'}, {'elbo_weight': 0.5}),
    (WEIGHTED, {'objective': 'renyi'}),
    (WEIGHTED | {'objective': 'renyi'}, {'alpha': 0.25}),
    ({}, {'optimizer': 'sgd'}),
    ({}, {'posterior': 'full_normal'}),
    ({}, {'posterior': 'laplace'}),
    ({}, {'prior': 'laplace'}),
    ({}, {'schedule': 'cosine'}),
    ({'schedule': 'cosine'}, {'num_epochs': 7}),
    ({}, {'schedule': 'iwae'}),
    ({}, {'learning_rate_warmup_epochs': 1}),
  ],
  ids=lambda options: '-'.join(map(str, options.values())) or 'default',
)
def test_option_changes_the_gradient_step(base, change):
  assert traced(**base) != traced(**(base | change))


def test_equal_options_give_equal_programs():
  assert traced.__wrapped__() == traced.__wrapped__()


def test_each_part_of_the_options_reaches_its_function(tiny, monkeypatch):
  given = {}

  def watch(module, name, position):
    call = getattr(module, name)

    def watched(*args, **options):
      given[name] = args[position], options
      return call(*args, **options)

    monkeypatch.setattr(module, name, watched)

  for module, name, position in (
    *((run_model, 'make_vae', 0), (recipe, 'make_optimizer', 0)),
    *((steps, 'make_loss', 1), (steps, 'make_loss_schedules', 0)),
    (recipe, 'make_preprocess', 0),
  ):
    watch(module, name, position)
  config = Config(**SMALL)
  make_run(config)
  assert given['make_vae'][0] is config.model
  mean = given['make_vae'][1]['data_mean']
  np.testing.assert_allclose(mean, IMAGES[7:].mean(axis=0) / 255, rtol=1e-6)
  assert given['make_loss'] == (config.objective, {})
  assert given['make_optimizer'] == (config.optimizer, {'steps_per_epoch': 5})
  schedules = config.objective, {'steps_per_epoch': 5}
  assert given['make_loss_schedules'] == schedules
  assert given['make_preprocess'][0] is config


def steps_of(**options):
  """Returns the program of two steps of a run."""
  run = make_run(Config(**(SMALL | options)))
  state = run.recipe.init()

  def steps(train):
    return run.recipe.steps(state._replace(train=train), 2)

  return program(steps, state.train)


@pytest.mark.quick('skip')
@pytest.mark.parametrize(
  ('base', 'change'),
  [
    ({}, {'kl_warmup_epochs': 2}),
    ({}, {'num_validation': 2}),
    ({'likelihood': 'normal'}, {'likelihood': 'normal_optimal'}),
    ({}, {'on_nonfinite': 'skip'}),
  ],
  ids=['kl_warmup_epochs', 'num_validation', 'refit', 'skip'],
)
def test_option_changes_the_steps_of_a_run(base, change, tiny):
  assert steps_of(**base) != steps_of(**change)


def test_sigma_is_fitted_only_for_the_models_of_the_options(tiny, monkeypatch):
  fitted = []
  monkeypatch.setattr(steps, 'make_refit', fitted.append)
  normal = Config(**SMALL, likelihood='normal')
  optimal = Config(**SMALL, likelihood='normal_optimal')
  make_run(normal)
  make_run(optimal, model=make_vae(normal.model, (2, 2, 1)))
  assert not fitted
  make_run(optimal)
  assert len(fitted) == 1


def test_sigma_starts_at_the_residual_of_the_mean_image(tiny):
  state = make_run(Config(**SMALL, likelihood='normal')).recipe.init()
  residual = IMAGES[7:] / 255 - IMAGES[7:].mean(axis=0) / 255
  exact = 0.5 * np.log(np.mean(residual**2) + 1 / 12 / 256**2)
  found = state.train.params['decoder']['log_scale']
  np.testing.assert_allclose(found, exact, rtol=1e-6)


@pytest.mark.parametrize('likelihood', ['normal', 'normal_optimal'])
def test_scalars_are_compared_on_batches_of_the_training_images(
  likelihood, tiny, monkeypatch
):
  given = []
  monkeypatch.setattr(
    recipe.scalars, 'unsettled_scalars', lambda *args: given.append(args) or []
  )
  monkeypatch.setattr(splits, 'preprocess', lambda config, x: x)
  run = make_run(Config(**SMALL, likelihood=likelihood))
  assert run.unsettled('params') == []
  if likelihood == 'normal_optimal':
    assert not given
    return
  ((_, _, params, make_batches),) = given
  assert params == 'params'
  batches = np.stack(make_batches())
  np.testing.assert_array_equal(
    batches, IMAGES[7:27].reshape(5, 4, 2, 2, 1).astype(np.float32)
  )


def leaves(state):
  return [np.asarray(x) for x in jax.tree.leaves(state.train.params)]


def test_seed_changes_initial_parameters_and_is_reproducible(tiny):
  states = [
    make_run(Config(**SMALL, seed=seed)).recipe.init() for seed in (0, 0, 1)
  ]
  first, again, other = map(leaves, states)
  assert all(np.array_equal(x, y) for x, y in zip(first, again, strict=True))
  assert any(np.any(x != y) for x, y in zip(first, other, strict=True))


@pytest.mark.slow
def test_seed_changes_order_and_noise_of_the_steps(tiny, monkeypatch):
  seen = []
  collect = lambda key, state, batches, count: seen.append(
    [jax.random.key_data(key).tolist(), batches.rows.tolist()]
  )
  monkeypatch.setattr(steps, 'make_steps', lambda *args: collect)
  for seed in (0, 0, 1):
    run = make_run(Config(**SMALL, seed=seed))
    run.recipe.steps(run.recipe.init(), 1)
  first, again, other = seen
  assert first == again
  assert all(x != y for x, y in zip(first, other, strict=True))


def test_counts_are_those_of_the_data(tiny):
  run = make_run(Config(**SMALL, num_epochs=9))
  counts = run.recipe.num_examples, run.recipe.steps_per_epoch
  assert counts == (23, 5)
  assert (run.recipe.num_epochs, run.recipe.batch_size) == (9, 4)
  assert run.data_shape == (2, 2, 1)
  assert run.recipe.metric == 'elbo'


@pytest.mark.parametrize(
  ('objective', 'metric'), [('iwae', 'iw_elbo'), ('renyi', 'renyi_elbo')]
)
def test_metric_of_the_bound_is_among_the_sums(objective, metric, tiny):
  run = make_run(Config(**SMALL, objective=objective))
  state = jax.eval_shape(run.recipe.init)
  assert run.recipe.metric == metric
  assert metric in state.sums
  assert 'elbo' not in state.sums


def test_warm_up_of_beta_is_a_metric(tiny):
  run = make_run(Config(**SMALL, kl_warmup_epochs=1))
  assert 'beta' in jax.eval_shape(run.recipe.init).sums


def test_batch_larger_than_the_training_set_is_refused(tiny):
  wanted = 'batch_size: got 24, expected at most 23, .*examples of digits'
  with pytest.raises(UserError, match=wanted):
    make_run(Config(**(SMALL | {'batch_size': 24})))


def test_batch_that_devices_cannot_share_is_refused(tiny):
  class Mesh:
    size = 3

  wanted = 'batch_size: got 4, expected a multiple of 3, .*=3, or .*num_devices'
  with pytest.raises(UserError, match=wanted):
    make_run(Config(**(SMALL | {'batch_size': 4})), mesh=Mesh)


def test_steps_beyond_32_bits_are_refused(tiny, monkeypatch):
  monkeypatch.setattr(batches, '_MAX_STEPS', 50)
  make_run(Config(**SMALL, num_epochs=10))
  wanted = 'num_epochs: got 55 steps, expected at most 50'
  with pytest.raises(UserError, match=wanted):
    make_run(Config(**SMALL, num_epochs=11))


def test_step_that_exceeds_the_memory_is_refused(tiny, monkeypatch):
  monkeypatch.setattr(recipe.memory, '_memory', lambda: 1000)
  with pytest.raises(UserError, match='memory: got a step of'):
    make_run(Config(**SMALL))


def test_optimizer_from_python_replaces_that_of_the_options(tiny):
  optimizer = optax.sgd(0.5, momentum=0.9)
  run = make_run(Config(**SMALL), optimizer=optimizer)
  state = jax.eval_shape(run.recipe.init)
  expected = jax.eval_shape(optimizer.init, state.train.params)
  structure = jax.tree.structure(expected)
  assert jax.tree.structure(state.train.opt_state) == structure


def test_gradients_are_monitored_at_powers_of_two_and_the_end(
  tiny, monkeypatch
):
  make_monitor = lambda model, batch: lambda key, params: {'noise': params}
  monkeypatch.setattr(recipe.monitor, 'make_monitor', make_monitor)
  config = Config(**SMALL, num_epochs=6)
  run = make_run(config.replace(monitor_gradients=True))
  measured = [bool(run.recipe.monitor(epoch, 1.0)) for epoch in range(1, 7)]
  assert measured == [True, True, False, True, False, True]
  assert make_run(config).recipe.monitor(1, jnp.ones(())) == {}


@pytest.mark.parametrize(
  ('options', 'more'),
  [
    ({}, []),
    ({'objective': 'iwae', 'num_samples': 3}, ['iw_elbo']),
  ],
)
def test_validation_logs_the_bound_that_is_trained(options, more):
  vae = make_vae(data_shape=(4,), latent_dim=2, hidden_sizes=(3,))
  x = np.eye(4, dtype=np.float32)
  validate = recipe._make_validate(Config(**options), vae, x)
  found = validate(vae.init(jax.random.key(0)))
  assert list(found) == ['elbo', 'log_likelihood', 'kl', *more]
  assert all(np.isfinite(value) for value in found.values())
