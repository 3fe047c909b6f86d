import importlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import vae_jax as vj
from vae_jax.models.linear_gaussian import maximum_log_likelihood
from vae_jax.training.adam import adam

RANDOM = np.random.RandomState(0)
# 60 examples of 3 numbers with one strong direction.
DATA = np.float32(
  RANDOM.standard_normal((60, 1)) * [1.5, -1.0, 0.5]
  + 0.4 * RANDOM.standard_normal((60, 3))
)


def init(key):
  del key
  return {
    'weights': jnp.array([[0.5], [0.1], [0.2]]),
    'loc': jnp.zeros(3),
    'log_scale': jnp.zeros(()),
    'encoder': {'w': jnp.zeros((1, 3)), 'b': jnp.zeros(1), 's': jnp.zeros(1)},
  }


def decoder(params):
  return vj.LinearGaussian(
    params['weights'], params['loc'], params['log_scale']
  )


def encode(params, x):
  p = params['encoder']
  return vj.Normal(p['w'] @ x + p['b'], p['s'])


# A VAE whose maximum likelihood is probabilistic PCA: its q(z|x) is exact.
MODEL = vj.VAE(
  init=init,
  encode=encode,
  decode=lambda params, z: decoder(params).decode(z),
  prior=lambda params: decoder(params).prior(),
)


def new_key():
  return jax.random.key(3)


@jax.jit
def mean_log_marginal(params):
  return jnp.mean(jax.vmap(decoder(params).log_marginal)(DATA))


@pytest.mark.slow
def test_fit_reaches_the_maximum_likelihood_of_a_linear_gaussian():
  """To a tenth of the statistical error of the maximum itself.

  By Wilks' theorem the maximum of P parameters and N examples exceeds the
  log-likelihood of the truth by P / 2N nats per example on average, 7 / 120.
  The error of the optimisation comes from the gradient noise of the decoder;
  it is 0.001 nats with a rate that decays to 0.
  """
  params, history = vj.fit(
    new_key(),
    MODEL,
    DATA,
    num_epochs=300,
    batch_size=30,
    learning_rate=5e-2,
    schedule='cosine',
    estimator='stl',
  )
  best = maximum_log_likelihood(DATA, 1)
  tolerance = 0.1 * 7 / (2 * len(DATA))
  assert best - tolerance < mean_log_marginal(params) < best + 1e-4
  # The initial model is over 1 nat away.
  assert mean_log_marginal(init(None)) < best - 1
  # q is the posterior: the bound is tight.
  np.testing.assert_allclose(history['elbo'][-1], best, atol=tolerance)
  assert history['elbo'][0] < best - 1
  assert set(history) == {'elbo', 'log_likelihood', 'kl', 'loss', 'grad_norm'}
  assert {values.shape for values in history.values()} == {(300,)}


def short(model=MODEL, data=DATA, **options):
  options = {'num_epochs': 2, 'batch_size': 25, **options}
  return vj.fit(options.pop('key', new_key()), model, data, **options)


@pytest.fixture(scope='module')
def plain():
  return short()


def assert_same(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)


def differs(a, b):
  return any(
    np.any(x != y)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
  )


@pytest.mark.slow
def test_fit_is_deterministic_in_its_key(plain):
  assert_same(plain, short())
  assert differs(plain[0], short(key=jax.random.key(4))[0])


def test_fit_equals_a_loop_over_the_steps(plain):
  """The permutation of an epoch, and a key per step and purpose."""
  optimizer = optax.adam(1e-3)
  step = jax.jit(vj.make_train_step(vj.make_loss(MODEL), optimizer))
  _, order_key, train_key = jax.random.split(new_key(), 3)
  state, losses = vj.init_train_state(init(None), optimizer), []
  for i in range(4):
    epoch_key = jax.random.fold_in(order_key, i // 2)
    order = np.asarray(jax.random.permutation(epoch_key, 60))
    start = 25 * (i % 2)
    loss_key = jax.random.split(jax.random.fold_in(train_key, i))[1]
    state, metrics = step(loss_key, state, DATA[order[start : start + 25]])
    losses.append(float(metrics['loss']))
  params, history = plain
  compare = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
  jax.tree.map(compare, params, state.params)
  np.testing.assert_allclose(
    history['loss'], np.reshape(losses, (2, 2)).mean(axis=1), rtol=1e-5
  )


def test_optax_optimizer_replaces_rate_and_schedule(plain):
  # Of a schedule, as the one of the options.
  optimizer = adam(optax.constant_schedule(1e-3))
  assert_same(plain, short(optimizer=optimizer, learning_rate=99.0))


OPTIONS = {
  'learning_rate': 0.1,
  'optimizer': 'sgd',
  'schedule': 'cosine',
  'beta': 0.5,
  'num_samples': 3,
  'objective': 'iwae',
  'form': 'joint',
}


@pytest.mark.slow
def test_options_reach_the_optimizer_and_the_loss(monkeypatch):
  """Each changes the traced program of a step; none is run."""
  steps = []
  monkeypatch.setattr(
    importlib.import_module('vae_jax.training.fit'),
    'make_steps',
    lambda step, *_: steps.append(step),
  )
  for options in ({}, *({name: value} for name, value in OPTIONS.items())):
    with pytest.raises(TypeError, match='NoneType'):
      short(**options)
  programs = set()
  for step, name in zip(steps, ('', *OPTIONS), strict=True):
    make = optax.sgd if name == 'optimizer' else optax.adam
    optimizer = make(optax.constant_schedule(0.1))
    state = vj.init_train_state(init(None), optimizer)
    programs.add(str(jax.make_jaxpr(step)(new_key(), state, DATA)))
  assert len(programs) == len(steps)


@pytest.mark.slow
def test_kl_warmup_increases_beta_over_its_epochs():
  _, history = short(num_epochs=3, beta=4.0, kl_warmup_epochs=2)
  # Two steps per epoch: 0, 1 | 2, 3 | 4, 4.
  np.testing.assert_allclose(history['beta'], [0.5, 2.5, 4.0], rtol=1e-5)


def test_given_params_are_the_start_and_are_not_donated():
  start = jax.tree.map(lambda x: x + 0.25, init(None))
  before = jax.tree.map(np.array, start)
  params, _ = short(params=start, learning_rate=1e-9)
  assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(start))
  assert_same(start, before)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), params, before
  )


def test_params_may_be_one_array():
  """The truth value of an array is not asked."""
  model = vj.VAE(
    init=lambda key: jnp.ones(2),
    encode=lambda params, x: vj.Normal(params, 0.0),
    decode=lambda params, z: vj.Normal(z, 0.0),
    prior=lambda params: vj.Normal(jnp.zeros(2), 0.0),
  )
  params, _ = short(model, DATA[:, :2], params=jnp.zeros(2), learning_rate=1e-9)
  np.testing.assert_allclose(params, 0.0, atol=1e-6)


@pytest.mark.slow
def test_preprocess_draws_anew_at_each_visit(plain):
  """Its key differs per step."""
  seen = []

  def preprocess(key, batch):
    noise = jax.random.normal(key, batch.shape)
    jax.debug.callback(lambda x: seen.append(np.asarray(x)), noise)
    return batch + noise

  params, _ = short(preprocess=preprocess)
  jax.effects_barrier()
  # Four steps, and the norm of the gradient after each epoch.
  assert len(seen) == 6
  assert len(np.unique(np.stack(seen).reshape(6, -1), axis=0)) == 6
  assert differs(params, plain[0])


def test_integers_become_floats():
  """Without `preprocess`, data such as 0 and 1 may be stored as uint8."""

  def encode(params, x):
    assert x.dtype == jnp.float32
    return vj.Normal(jnp.zeros(1), jnp.zeros(1))

  model = MODEL._replace(
    init=lambda key: {'loc': jnp.zeros(3)},
    encode=encode,
    decode=lambda params, z: vj.Normal(params['loc'], jnp.zeros(3)),
    prior=lambda params: vj.Normal(jnp.zeros(1), jnp.zeros(1)),
  )
  whole = np.round(DATA).astype(np.int8)
  sgd = optax.sgd(0.1)
  floats = short(model, whole.astype(np.float32), optimizer=sgd)
  assert_same(short(model, whole, optimizer=sgd), floats)


def test_conditional_vae_is_fitted_on_a_dict():
  """The mean of x given y is learned: x = 2 y exactly."""
  model = vj.ConditionalVAE(
    init=lambda key: {'slope': jnp.zeros(())},
    encode=lambda p, x, y: vj.Normal(jnp.zeros(1), jnp.zeros(1)),
    decode=lambda p, z, y: vj.Normal(p['slope'] * y, jnp.zeros(1)),
    prior=lambda p, y: vj.Normal(jnp.zeros(1), jnp.zeros(1)),
  )
  y = np.float32(RANDOM.standard_normal((60, 1)))
  params, history = short(
    model, {'x': 2 * y, 'y': y}, num_epochs=40, optimizer=optax.sgd(0.3)
  )
  np.testing.assert_allclose(params['slope'], 2.0, atol=1e-3)
  np.testing.assert_array_equal(history['kl'], 0.0)


def test_integer_labels_stay_integers():
  """Labels index the rows of a table of means, x = 2 y - 1."""
  model = vj.ConditionalVAE(
    init=lambda key: {'means': jnp.zeros(2)},
    encode=lambda p, x, y: vj.Normal(jnp.zeros(1), jnp.zeros(1)),
    decode=lambda p, z, y: vj.Normal(p['means'][y][None], jnp.zeros(1)),
    prior=lambda p, y: vj.Normal(jnp.zeros(1), jnp.zeros(1)),
  )
  y = np.arange(60) % 2
  params, _ = short(
    model,
    {'x': 2 * y[:, None] - 1, 'y': y},
    num_epochs=60,
    optimizer=optax.sgd(0.3),
  )
  np.testing.assert_allclose(params['means'], [-1.0, 1.0], atol=1e-2)


@pytest.mark.slow
def test_function_of_the_numbers_of_each_epoch_is_called(plain):
  seen = []
  params, history = short(num_epochs=3, on_epoch=seen.append)
  assert [numbers['epoch'] for numbers in seen] == [1, 2, 3]
  for i, numbers in enumerate(seen):
    own = {k: x for k, x in numbers.items() if k not in ('epoch', 'step')}
    assert own == {name: values[i] for name, values in history.items()}
  assert_same(params, short(num_epochs=3)[0])

  def fails(numbers):
    raise LookupError('mine')

  with pytest.raises(LookupError, match='mine'):
    short(num_epochs=3, on_epoch=fails)


def test_nonfinite_step_is_named():
  """The likelihood of the first batch of the second epoch overflows."""
  decode = lambda params, z: vj.Normal(params['loc'], 0.0)
  prior = lambda params: vj.Normal(jnp.zeros(1), 0.0)
  model = MODEL._replace(decode=decode, prior=prior)
  wanted = r'step [12]: .*loss is.*: expected finite.*learning_rate'
  with pytest.raises(vj.UserError, match=wanted):
    short(model, 3 * DATA, num_epochs=9, optimizer=optax.sgd(1e20))


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'batch_size': 0}, 'batch_size is 0: must be from 1 to 60'),
    ({'batch_size': 61}, 'batch_size is 61: must be from 1 to 60'),
    ({'num_epochs': 0}, 'num_epochs is 0: must be at least 1'),
    ({'objective': 'nope'}, "objective is 'nope'"),
    ({'optimizer': 'nope'}, "optimizer is 'nope'"),
    ({'schedule': 'nope'}, "schedule is 'nope'"),
    ({'data': {'x': DATA, 'y': DATA[:9]}}, 'same number of examples'),
  ],
)
def test_impossible_options_are_refused(options, message):
  with pytest.raises(ValueError, match=message):
    short(**options)
