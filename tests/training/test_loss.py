import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from tests.helpers import assert_trees_close
from vae_jax.models.make import make_vae
from vae_jax.objectives import ESTIMATORS, OBJECTIVES
from vae_jax.runs.config import ObjectiveOptions
from vae_jax.training.loss import batch_size_of

VAE = make_vae(data_shape=(2, 2, 1), latent_dim=2, hidden_sizes=(8,))
# 0 and 1, in the order 0, 1, 1.
BATCH = jnp.minimum(jnp.arange(20.0).reshape(5, 2, 2, 1) % 3, 1)


def new_key():
  """Returns the same key, not consumed."""
  return jax.random.key(7)


@functools.cache
def params():
  return jax.jit(VAE.init)(jax.random.key(0))


def run(loss, params, batch=BATCH, **scheduled):
  """Returns ((loss, terms), gradient), compiled."""
  gradient = jax.jit(jax.value_and_grad(loss, 1, has_aux=True))
  with jax.debug_key_reuse(False):
    return gradient(new_key(), params, batch, **scheduled)


def test_loss_is_minus_the_mean_bound_with_a_key_per_example():
  options = {'num_samples': 2, 'form': 'joint'}
  batch = jnp.ones((3, 2, 2, 1))

  def one(key, x):
    inference = VAE.condition(params(), x)
    parts = inference.posterior, inference.prior, inference.log_likelihood
    return vj.elbo(key, *parts, beta=0.5, **options)

  loss = jax.jit(vj.make_loss(VAE, beta=0.5, **options))
  with jax.debug_key_reuse(False):
    value, terms = loss(new_key(), params(), batch)
    one = jax.jit(one)
    keys = jax.random.split(new_key(), 3)
    each = [one(k, x) for k, x in zip(keys, batch, strict=True)]
  np.testing.assert_allclose(value, -np.mean([t.elbo for t in each]), rtol=1e-5)
  np.testing.assert_allclose(
    terms['log_likelihood'], [t.log_likelihood for t in each], rtol=1e-5
  )
  # Equal examples, different noise.
  assert len(np.unique(np.asarray(terms['log_likelihood']))) == 3


@pytest.mark.parametrize('name', OBJECTIVES)
def test_terms_are_those_of_the_objective(name):
  loss = vj.make_loss(VAE, objective=name, num_samples=4)
  value, terms = jax.eval_shape(loss, new_key(), params(), BATCH)
  names = {'elbo', 'log_likelihood', 'kl'} if name == 'elbo' else set()
  assert set(terms) == names | {OBJECTIVES[name].metric}
  assert value.shape == ()
  assert {term.shape for term in terms.values()} == {(5,)}


def test_reported_elbo_has_beta_one():
  loss = jax.jit(vj.make_loss(VAE, beta=3.0, free_bits=0.7))
  value, terms = loss(new_key(), params(), BATCH)
  parts = terms['log_likelihood'] - terms['kl']
  np.testing.assert_allclose(terms['elbo'], parts, rtol=1e-5)
  assert abs(value + np.mean(parts)) > 0.1


def test_beta_argument_overrides_the_default():
  loss = jax.jit(vj.make_loss(VAE, beta=3.0))
  with jax.debug_key_reuse(False):
    value, terms = loss(new_key(), params(), BATCH, beta=0.25)
    default, _ = loss(new_key(), params(), BATCH)
  means = {name: np.mean(x) for name, x in terms.items()}
  cost = lambda beta: beta * means['kl'] - means['log_likelihood']
  np.testing.assert_allclose(value, cost(0.25), rtol=1e-5)
  np.testing.assert_allclose(default, cost(3.0), rtol=1e-5)


def test_each_dimension_costs_at_least_its_free_bits():
  each = np.array([[0.1, 2.0, 0.9], [0.3, 4.0, 1.5]])  # Means 0.2, 3, 1.2.
  np.testing.assert_allclose(vj.free_bits(jnp.array(each), 1.0), 1 + 3 + 1.2)
  loss = vj.make_loss(VAE, free_bits=0.5, beta=3.0)

  def by_hand(key, params, batch):
    q = jax.vmap(VAE.encode, (None, 0))(params, batch)
    parts = 0.5 * (jnp.exp(2 * q.log_scale) + q.loc**2 - 1) - q.log_scale
    each = jnp.mean(parts, axis=0)
    log_likelihood = loss(key, params, batch)[1]['log_likelihood']
    cost = jnp.sum(jnp.maximum(each, 0.5))
    return 3 * cost - jnp.mean(log_likelihood), each

  (value, _), grads = run(loss, params())
  (truth, each), true_grads = run(by_hand, params())
  assert np.min(each) < 0.5 < np.max(each)
  np.testing.assert_allclose(value, truth, rtol=1e-5)
  assert_trees_close(grads, true_grads)


@pytest.mark.slow
@pytest.mark.parametrize(
  'options', [{}, {'free_bits': 0.4}, {'objective': 'iwae'}]
)
def test_gradient_moves_a_learned_prior_to_the_posteriors(options):
  vae = VAE._replace(prior=lambda params: vj.Normal(params['prior'], 0.0))
  _, grads = run(
    vj.make_loss(vae, **options), params() | {'prior': jnp.full(2, 5.0)}
  )
  assert np.all(grads['prior'] > 1.0)


def test_dimension_below_its_free_bits_has_no_gradient():
  pull = jax.grad(
    lambda loc: vj.free_bits(
      jax.vmap(
        lambda loc: vj.kl_per_dimension(
          vj.Normal(loc, 0.0), vj.Normal(loc * 0, 0.0)
        )
      )(loc),
      0.5,
    )
  )
  pull = jax.jit(pull)(jnp.array([[0.1, 3.0], [0.2, 2.0]]))
  np.testing.assert_array_equal(pull[:, 0], 0.0)
  assert np.all(pull[:, 1] > 0.1)


@pytest.mark.quick('-elbo-')
@pytest.mark.parametrize(
  ('options', 'metric', 'by_hand'),
  [
    (
      {'objective': 'iwae', 'num_samples': 3, 'estimator': 'dreg'},
      'iw_elbo',
      lambda *a: vj.iw_elbo(*a, num_samples=3, estimator='dreg'),
    ),
    (
      # With one sample 'stl' and 'dreg' are the same.
      {'estimator': 'stl'},
      'elbo',
      lambda *a: vj.iw_elbo(*a, num_samples=1, estimator='stl'),
    ),
    (
      {
        'objective': 'miwae',
        'num_samples': 3,
        'num_groups': 2,
        'estimator': 'vimco',
      },
      'miw_elbo',
      lambda *a: vj.miw_elbo(
        *a, num_samples=3, num_groups=2, estimator='vimco'
      ),
    ),
    (
      {'objective': 'piwae', 'num_samples': 3, 'num_groups': 2},
      'piw_elbo',
      lambda *a: vj.piw_elbo(*a, num_samples=3, num_groups=2),
    ),
    (
      {
        'objective': 'ciwae',
        'num_samples': 3,
        'elbo_weight': 0.4,
        'estimator': 'dreg',
      },
      'ciw_elbo',
      lambda *a: vj.ciw_elbo(
        *a, num_samples=3, elbo_weight=0.4, estimator='dreg'
      ),
    ),
    (
      {'objective': 'renyi', 'num_samples': 3, 'alpha': 0.7},
      'renyi_elbo',
      lambda *a: vj.renyi_elbo(*a, num_samples=3, alpha=0.7),
    ),
  ],
  ids=lambda value: value if isinstance(value, str) else '',
)
def test_keywords_choose_the_bound_and_its_gradient(options, metric, by_hand):
  def exact(key, params, batch):
    keys = jax.random.split(key, len(batch))

    def one(key, x):
      inference = VAE.condition(params, x)
      return by_hand(key, inference.posterior, inference.log_joint)

    return -jnp.mean(jax.vmap(one)(keys, batch)), {}

  (found, terms), grads = run(vj.make_loss(VAE, **options), params())
  (value, _), truth = run(exact, params())
  assert metric == OBJECTIVES[options.get('objective', 'elbo')].metric
  np.testing.assert_allclose(found, -np.mean(terms[metric]), rtol=1e-5)
  np.testing.assert_allclose(found, value, rtol=1e-5)
  assert_trees_close(grads, truth)


@pytest.mark.quick('entropy')
@pytest.mark.parametrize('form', ['auto', 'kl', 'entropy', 'joint'])
def test_form_chooses_how_the_divergence_is_computed(form):
  loss = jax.jit(vj.make_loss(VAE, form=form))
  _, terms = loss(new_key(), params(), BATCH)

  def one(key, x):
    inference = VAE.condition(params(), x)
    q, prior = inference.posterior, inference.prior
    z = vj.reparameterise_many(key, q, 1)[0]
    return {
      'kl': vj.kl(q, prior),
      'entropy': -q.entropy() - prior.log_prob(z),
      'joint': q.log_prob(z) - prior.log_prob(z),
    }

  keys = jax.random.split(new_key(), len(BATCH))
  exact = jax.jit(jax.vmap(one))(keys, BATCH)
  chosen = exact['kl' if form == 'auto' else form]
  np.testing.assert_allclose(terms['kl'], chosen, rtol=1e-4, atol=1e-5)
  others = [v for name, v in exact.items() if v is not chosen]
  assert all(np.max(np.abs(other - chosen)) > 1e-3 for other in others)


def test_objective_part_of_a_config_equals_keywords():
  options = {
    'objective': 'miwae',
    'estimator': 'vimco',
    'num_samples': 3,
    'num_groups': 2,
  }
  losses = [
    vj.make_loss(VAE, ObjectiveOptions(**options)),
    # Fields that the loss does not read are ignored.
    vj.make_loss(VAE, types.SimpleNamespace(**options, kl_warmup_epochs=2)),
    vj.make_loss(VAE, **options),
  ]
  programs = [
    str(jax.make_jaxpr(loss)(new_key(), params(), BATCH)) for loss in losses
  ]
  assert programs[0] == programs[1] == programs[2]
  other = vj.make_loss(VAE, **options | {'num_groups': 3})
  assert str(jax.make_jaxpr(other)(new_key(), params(), BATCH)) != programs[0]


def test_defaults_of_the_keywords_are_those_of_the_config():
  part = vars(ObjectiveOptions())
  keywords = vj.make_loss.__kwdefaults__
  shared = set(part) & set(keywords) - {'form'}
  assert {name: part[name] for name in shared} == {
    name: keywords[name] for name in shared
  }
  assert set(keywords) - set(part) == set()


def test_unknown_names_are_refused_with_the_choices():
  with pytest.raises(ValueError, match=r"objective is 'nope'.*'iwae'"):
    vj.make_loss(VAE, objective='nope')
  with pytest.raises(ValueError, match=r"estimator is 'nope'.*'pathwise'"):
    vj.make_loss(VAE, estimator='nope')
  loss = vj.make_loss(VAE, form='nope')
  with pytest.raises(ValueError, match=r"form is 'nope'.*'kl'"):
    loss(new_key(), params(), BATCH)
  with pytest.raises(TypeError, match='expected a part of a Config'):
    vj.make_loss(VAE, 'iwae')


@pytest.mark.parametrize('objective', OBJECTIVES)
@pytest.mark.parametrize('estimator', ESTIMATORS)
def test_estimators_that_an_objective_lacks_are_refused(objective, estimator):
  admitted = OBJECTIVES[objective].estimators
  make = lambda: vj.make_loss(VAE, objective=objective, estimator=estimator)
  if estimator in admitted:
    assert callable(make())
    return
  with pytest.raises(
    ValueError, match=f"estimator is '{estimator}' with objective"
  ) as error:
    make()
  assert all(repr(each) in str(error.value) for each in admitted)


def test_batch_size_is_the_length_of_the_leading_axis():
  batch = {'x': jnp.zeros((4, 2)), 'y': jnp.zeros(4)}
  assert batch_size_of(batch) == 4
  assert batch_size_of(jnp.zeros((3, 2))) == 3


@pytest.mark.parametrize(
  'batch',
  [
    {},
    0.0,
    {'x': np.zeros((4, 2)), 'y': np.zeros(3)},
    {'x': np.ones(2), 'y': 1.0},
  ],
)
def test_batches_without_a_common_leading_axis_are_refused(batch):
  with pytest.raises(ValueError, match='same number of examples'):
    batch_size_of(batch)


@pytest.mark.parametrize('option', [{'beta': 2.0}, {'free_bits': 0.5}])
def test_weighted_bounds_refuse_the_weights_of_the_kl(option):
  model = vj.make_vae(data_shape=(2, 2), latent_dim=2, hidden_sizes=())
  with pytest.raises(ValueError, match="only 'elbo' has a KL to weight"):
    vj.make_loss(model, objective='iwae', num_samples=2, **option)
