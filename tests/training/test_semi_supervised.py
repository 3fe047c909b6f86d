"""Semi-supervised training (M2) against exact sums over the classes."""

import collections

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from tests.latent_models import conditional_vae
from vae_jax.models.semi_supervised import SemiSupervisedVAE
from vae_jax.training.semi_supervised import (
  choose_labelled,
  labelled_per_batch,
  make_bounds,
  make_labelled_indices,
  make_semi_supervised_loss,
)

NUM_CLASSES = 3
BATCH = 20


def make_model():
  """Returns a conditional linear-Gaussian model with a linear classifier."""
  case = conditional_vae()
  params = case.params | {
    # Unsure of the class, so that the entropy counts.
    'classifier': 0.2
    * jnp.array([[1.0, 0.5, -0.3], [0.2, -1.0, 0.4], [0.0, 0.3, 1]])
  }
  classify = lambda params, x: vj.Categorical(params['classifier'] @ x)
  model = SemiSupervisedVAE(
    lambda key: params,
    *case.model[1:],
    classify=classify,
    num_classes=NUM_CLASSES,
  )
  return model, params, jax.tree.map(jnp.asarray, case.data)


MODEL, PARAMS, DATA = make_model()


def exact_elbo(params, x, y):
  """Returns the ELBO of x given y, in closed form."""
  inference = MODEL.condition(params, {'x': x, 'y': y})
  q, weights = inference.posterior, params['decoder']['weights']
  p = inference.likelihood(q.mean())
  spread = jnp.sum(weights**2 @ q.variance() * jnp.exp(-2 * p.log_scale))
  return p.log_prob(x) - spread / 2 - vj.kl(q, inference.prior)


def exact_bounds(params, x, y):
  log_p_y = -np.log(NUM_CLASSES)
  log_q = MODEL.classify(params, x).log_probabilities
  each = jnp.stack(
    [exact_elbo(params, x, i) + log_p_y for i in range(NUM_CLASSES)]
  )
  unlabelled = jnp.sum(jnp.exp(log_q) * (each - log_q))
  return each[y], unlabelled, -log_q[y]


def test_bounds_are_the_sums_over_classes_and_z(key):
  labelled, unlabelled = make_bounds(MODEL, num_samples=20_000)
  x, y = DATA['x'][1], DATA['y'][1]
  first, second, _ = exact_bounds(PARAMS, x, y)
  assert MODEL.classify(PARAMS, x).entropy() > 0.3
  label_key, other_key = jax.random.split(key)
  # A standard error is below 0.01 nats: 6 of them, p = 2e-9.
  found = jax.jit(labelled)(label_key, PARAMS, x, y)
  np.testing.assert_allclose(found.elbo, first, atol=0.06)
  found = jax.jit(unlabelled)(other_key, PARAMS, x)
  np.testing.assert_allclose(found.elbo, second, atol=0.06)


def test_unlabelled_bound_is_below_log_p_of_x():
  """With the exact q(y|x) and q(z|x, y) it would be log p(x)."""
  from scipy.special import logsumexp

  x = DATA['x'][0]
  found = [exact_elbo(PARAMS, x, y) - np.log(3) for y in range(NUM_CLASSES)]
  assert exact_bounds(PARAMS, x, 0)[1] <= logsumexp(np.array(found)) + 1e-5


def batch_of(size=BATCH):
  return jax.tree.map(lambda leaf: leaf[:size], DATA)


def exact_loss(params, batch, share, weight):
  count = labelled_per_batch(BATCH)
  each = jax.vmap(exact_bounds, (None, 0, 0))(params, batch['x'], batch['y'])
  labelled, error = jnp.mean(each[0][:count]), jnp.mean(each[2][:count])
  unlabelled = jnp.mean(each[1][count:])
  return -share * labelled - (1 - share) * unlabelled + weight * error


@pytest.mark.slow
def test_loss_and_gradient_are_those_of_equation_9(key):
  """Mean over 4000 keys, within 6 standard errors of every coordinate."""
  loss = make_semi_supervised_loss(
    MODEL, labelled_share=0.3, classification_weight=0.7
  )
  batch = batch_of()
  value = lambda key, params: loss(key, params, batch)[0]
  each = jax.jit(
    lambda keys: jax.lax.map(
      lambda key: jax.value_and_grad(value, argnums=1)(key, PARAMS),
      keys,
      batch_size=500,
    )
  )
  found = each(jax.random.split(key, 4000))
  exact = jax.jit(jax.value_and_grad(exact_loss))(PARAMS, batch, 0.3, 0.7)

  def close(samples, exact):
    samples = np.asarray(samples, float)
    error = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    z = (samples.mean(axis=0) - exact) / np.maximum(error, 1e-5)
    assert np.abs(z).max() < 6

  jax.tree.map(close, found, exact)


def test_labels_of_unlabelled_examples_are_not_read(key):
  loss = make_semi_supervised_loss(MODEL, labelled_share=0.1)
  batch, count = batch_of(), labelled_per_batch(BATCH)
  compiled = jax.jit(lambda key, y: loss(key, PARAMS, {**batch, 'y': y})[0])
  value = lambda y: compiled(jax.random.clone(key), y)
  hidden = batch['y'].at[count:].set(2 - batch['y'][count:])
  seen = batch['y'].at[0].set(2 - batch['y'][0])
  assert value(batch['y']) == value(hidden)
  assert value(batch['y']) != value(seen)


def test_beta_weights_the_kl_only(key):
  loss = make_semi_supervised_loss(MODEL, labelled_share=0.1, beta=1.0)
  weighted = lambda beta: loss(
    jax.random.clone(key), PARAMS, batch_of(), beta=beta
  )
  values = list(map(jax.jit(weighted), (1.0, 2.0, 3.0)))
  steps = np.diff([float(value) for value, _ in values])
  np.testing.assert_allclose(steps[0], steps[1], rtol=1e-3)
  assert steps[0] > 0
  assert len({float(terms['elbo']) for _, terms in values}) == 1


def test_without_weight_an_infinite_kl_has_no_effect(key):
  """0 times infinity would be nan."""
  encode = lambda params, x, y: vj.Uniform(
    jnp.zeros(2), jnp.exp(params['encoder']['log_scale'])
  )
  prior = lambda params, y: vj.Uniform(jnp.full(2, 50.0), 51.0)
  model = MODEL._replace(encode=encode, prior=prior)
  loss = make_semi_supervised_loss(model, labelled_share=0.1)
  f = lambda params, beta: loss(key, params, batch_of(), beta=beta)
  slope_of = jax.jit(jax.value_and_grad(f, has_aux=True))
  (value, terms), slope = slope_of(PARAMS, 0.0)
  assert np.isfinite(value)
  assert terms['elbo'] == -np.inf
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(slope))


def test_chosen_examples_are_balanced_and_depend_on_the_seed():
  y = np.random.RandomState(0).randint(0, 5, 300)
  rows = choose_labelled(y, 22, 5, seed=3)
  counts = collections.Counter(y[rows].tolist())
  assert [counts[i] for i in range(5)] == [5, 5, 4, 4, 4]
  assert len(set(rows.tolist())) == 22
  np.testing.assert_array_equal(rows, choose_labelled(y, 22, 5, seed=3))
  assert set(rows) != set(choose_labelled(y, 22, 5, seed=4))
  with pytest.raises(ValueError, match='class 1 has 55 training examples'):
    choose_labelled(y, 295, 5, seed=0)


@pytest.mark.parametrize('num_labelled', [3, 70])
def test_batches_begin_with_labelled_examples(key, num_labelled):
  count, size = 100, 20
  labelled = np.arange(0, num_labelled)
  indices = jax.jit(make_labelled_indices(labelled, count, size))
  first, again, other = (
    np.asarray(indices(jax.random.clone(key), epoch)) for epoch in (0, 0, 1)
  )
  assert first.shape == (5, size)
  np.testing.assert_array_equal(first, again)
  assert (first != other).any()
  own = labelled_per_batch(size)
  assert (first[:, :own] < num_labelled).all()
  assert (first[:, own:] >= num_labelled).all()
  # Each is visited equally often, but for one visit.
  for part in (first[:, :own], first[:, own:]):
    visits = np.bincount(part.ravel())
    assert visits.max() - visits[visits > 0].min() <= 1


@pytest.mark.slow
def test_the_temperature_reaches_the_bound_of_each_class():
  model = vj.make_vae(
    data_shape=(2,),
    num_classes=2,
    classifier=True,
    latent_dim=2,
    hidden_sizes=(),
    posterior='bernoulli',
    prior='bernoulli',
    likelihood='normal',
  )
  batch = {'x': jnp.ones((4, 2)), 'y': jnp.zeros(4, int)}

  def program(temperature):
    loss = make_semi_supervised_loss(
      model,
      labelled_share=0.5,
      estimator='gumbel_softmax',
      temperature=temperature,
    )
    params = jax.eval_shape(model.init, jax.random.key(0))
    gradient = jax.grad(lambda p, key: loss(key, p, batch)[0])
    return str(jax.make_jaxpr(gradient)(params, jax.random.key(0)))

  assert program(0.5) == program(0.5)
  assert program(0.5) != program(0.3)
