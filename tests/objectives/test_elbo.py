import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import vae_jax as vj
from tests import helpers
from tests.helpers import assert_mean
from tests.objectives import exact

FORMS = ('kl', 'entropy', 'joint')
VAE = helpers.linear_gaussian(helpers.LOADINGS, helpers.BIAS, helpers.NOISE)
X = jnp.array([0.5, -1.0, 0.2, 0.7])
LOG_P = stats.multivariate_normal(
  helpers.BIAS, helpers.evidence_covariance()
).logpdf(np.asarray(X))
OFFSET = np.array([0.4, -0.3])


def elbo_of(vae, key, params, x, **options):
  """The bound of one example, by `elbo` or with a coefficient `mixed_elbo`."""
  function = vj.mixed_elbo if 'coefficient' in options else vj.elbo
  inference = vae.condition(params, x)
  parts = inference.posterior, inference.prior, inference.log_likelihood
  return function(key, *parts, **options)


def bound(key, offset, **options):
  return elbo_of(VAE, key, {'offset': offset}, X, **options)


def exact_bound():
  """log p(x) - KL(q || p(z|x))."""
  posterior = VAE.encode({'offset': jnp.zeros(2)}, X)
  q = VAE.encode({'offset': OFFSET}, X)
  return LOG_P - float(vj.kl(q, posterior))


@pytest.mark.parametrize('form', FORMS)
def test_every_form_has_the_exact_expectation(form, key):
  keys = jax.random.split(key, 20_000)
  terms = jax.jit(jax.vmap(lambda key: bound(key, OFFSET, form=form)))(keys)
  assert_mean(terms.elbo, exact_bound())
  q, prior = VAE.encode({'offset': OFFSET}, X), VAE.prior(None)
  assert_mean(terms.kl + 0 * terms.elbo, float(vj.kl(q, prior)))


def scalar_terms(key, p, **options):
  """The bound of the model with a scalar latent."""
  function = vj.mixed_elbo if 'coefficient' in options else vj.elbo
  parts = exact.posterior_of(p), exact.prior_of(p), exact.log_likelihood_of(p)
  return function(key, *parts, **options)


ESTIMATORS = [
  *(({'form': form}) for form in FORMS),
  {'form': 'joint', 'estimator': 'stl'},
  {'coefficient': 0.3},
  *(
    {'form': form, 'estimator': 'score_function', 'num_samples': n}
    for form in FORMS
    for n in (1, 2)
  ),
]


@pytest.mark.quick('joint-stl', 'joint', 'entropy', 'joint-score_function-1')
@pytest.mark.parametrize(
  'options',
  ESTIMATORS,
  ids=lambda options: '-'.join(map(str, options.values())),
)
def test_every_form_and_estimator_has_the_exact_gradient(options, key):
  """In every parameter of q, of the prior and of the likelihood."""
  keys = jax.random.split(key, 20_000)
  grad = jax.grad(lambda key, p: scalar_terms(key, p, **options).elbo, 1)
  grads = jax.jit(jax.vmap(grad, (0, None)))(keys, exact.params())
  _, gradient = exact.expectation(jnp.mean, 1, 40)
  for name, truth in gradient.items():
    assert_mean(grads[name], truth)


def test_every_estimator_has_the_same_value_for_the_same_draws():
  terms = [
    scalar_terms(jax.random.key(3), exact.params(), num_samples=3, **options)
    for options in (
      {'form': 'joint'},
      {'form': 'joint', 'estimator': 'stl'},
      {'form': 'joint', 'estimator': 'score_function'},
      {'coefficient': 0.4},
    )
  ]
  np.testing.assert_allclose(terms, terms[:1] * 4, rtol=1e-6)


def test_posterior_elbo_is_the_exact_bound():
  first = lambda p: vj.posterior_elbo(
    exact.posterior_of(p), exact.true_posterior_of(p), exact.log_marginal(p)
  )
  found, grads = jax.jit(jax.value_and_grad(first))(exact.params())
  value, gradient = exact.expectation(jnp.mean, 1, 40)
  np.testing.assert_allclose(found, value, rtol=1e-5)
  for name, truth in gradient.items():
    np.testing.assert_allclose(grads[name], truth, rtol=1e-4)


def spread(key, offset, **options):
  """Sums the standard deviation of the gradient over the parameters of q."""
  at = VAE.encode({'offset': offset}, X)
  log_likelihood = lambda z: VAE.decode(None, z).log_prob(X)

  def one(q, key):
    options_ = {'form': 'joint'} | options
    return vj.elbo(key, q, VAE.prior(None), log_likelihood, **options_).elbo

  keys = jax.random.split(key, 4000)
  grads = jax.jit(jax.vmap(jax.grad(one), (None, 0)))(at, keys)
  return sum(float(jnp.sum(jnp.std(g, axis=0))) for g in jax.tree.leaves(grads))


def test_stl_has_variance_zero_at_the_posterior(key):
  keys = jax.random.split(key, 3)
  assert spread(keys[0], jnp.zeros(2), estimator='stl') < 1e-4
  assert spread(keys[1], jnp.zeros(2)) > 1.0
  # A closed-form KL is noisy there.
  assert spread(keys[2], jnp.zeros(2), form='kl') > 1.0


def test_leave_one_out_baseline_has_variance_zero_at_the_posterior(key):
  """log p(x, z) - log q(z) is constant there, equal to its baseline."""
  options = {'estimator': 'score_function', 'num_samples': 2}
  assert spread(key, jnp.zeros(2), **options) < 1e-4


def test_leave_one_out_baseline_lowers_the_variance_of_the_score_function(key):
  keys = jax.random.split(key)
  options = {'estimator': 'score_function'}
  one = spread(keys[0], OFFSET, **options)
  two = spread(keys[1], OFFSET, num_samples=2, **options)
  # Averaging two draws alone would give 1 / sqrt(2).
  assert two < 0.5 * one


def test_mixed_gradient_is_the_combination_of_its_two_estimators(key):
  at = lambda **options: jax.jit(
    jax.grad(
      lambda offset: (
        (
          bound(jax.random.key(1), offset, num_samples=3, beta=2.5, **options)
        ).elbo
      )
    )
  )(jnp.array(OFFSET))
  plain, stl = at(form='joint'), at(form='joint', estimator='stl')
  np.testing.assert_allclose(
    at(coefficient=0.3), 0.7 * plain + 0.3 * stl, rtol=1e-4
  )
  assert not np.allclose(plain, stl)


@pytest.mark.slow
def test_discrete_q_has_the_exact_bound_and_gradient(key):
  """Enumerates z, in each form."""
  weights = jnp.array([0.8, -0.5])
  log_likelihood = lambda z: -((weights @ z - 0.3) ** 2)
  prior = vj.Bernoulli(jnp.array([0.0, 1.0]))

  def enumerated(logits):
    q = vj.Bernoulli(logits)
    z = jnp.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    values = jax.vmap(lambda z: jnp.exp(q.log_prob(z)) * log_likelihood(z))(z)
    return jnp.sum(values) - vj.kl(q, prior)

  logits = jnp.array([0.4, -0.9])
  value, gradient = jax.value_and_grad(enumerated)(logits)
  for form in FORMS:
    one = lambda logits, key, form=form: (
      vj.elbo(
        key,
        vj.Bernoulli(logits),
        prior,
        log_likelihood,
        form=form,
        estimator='score_function',
        num_samples=3,
      ).elbo
    )
    keys = jax.random.split(jax.random.clone(key), 20_000)
    both = jax.jit(jax.vmap(jax.value_and_grad(one), (None, 0)))
    values, grads = both(logits, keys)
    assert_mean(values, value)
    assert_mean(grads, gradient)
  with pytest.raises(TypeError, match='Bernoulli'):
    vj.elbo(jax.random.clone(key), vj.Bernoulli(logits), prior, log_likelihood)


def test_bound_is_tight_at_the_exact_posterior(key):
  keys = jax.random.split(key, 100)
  tight = lambda key: bound(key, jnp.zeros(2), form='joint')
  terms = jax.jit(jax.vmap(tight))(keys)
  np.testing.assert_allclose(terms.elbo, LOG_P, rtol=1e-4)


def test_elbo_is_the_log_likelihood_minus_beta_times_the_kl(key):
  terms = bound(key, OFFSET, beta=2.5, num_samples=3)
  np.testing.assert_allclose(
    terms.elbo, terms.log_likelihood - 2.5 * terms.kl, rtol=1e-6
  )


def test_more_samples_lower_the_variance(key):
  one, many = (
    jax.jit(jax.vmap(lambda key, n=n: bound(key, OFFSET, num_samples=n).elbo))(
      keys
    )
    for n, keys in zip((1, 16), jax.random.split(key, (2, 5000)), strict=True)
  )
  # The ratio of the variances is 16 and its log has standard error 0.04.
  assert abs(np.log(np.var(one) / np.var(many) / 16)) < 0.3


def test_unknown_form_and_zero_samples_are_refused(key):
  with pytest.raises(ValueError, match="form is 'nope'"):
    bound(key, OFFSET, form='nope')
  with pytest.raises(ValueError, match='num_samples'):
    bound(key, OFFSET, num_samples=0)


@pytest.mark.parametrize('form', ['kl', 'entropy'])
def test_stl_with_a_closed_form_is_refused(form, key):
  with pytest.raises(ValueError, match=f"'stl' and form '{form}'.*'joint'"):
    bound(key, OFFSET, form=form, estimator='stl')


def test_unknown_estimator_is_refused(key):
  with pytest.raises(ValueError, match="estimator is 'vimco'"):
    bound(key, OFFSET, estimator='vimco')


def test_missing_entropy_is_refused_with_an_alternative(key):
  @vj.distribution
  class Uniform(vj.Distribution):
    high: jax.Array
    shape = ()

    def noise(self, key):
      return jax.random.uniform(key)

    def transform(self, eps):
      return self.high * eps

  with pytest.raises(TypeError, match="entropy: use form='joint'"):
    vj.elbo(key, Uniform(1.0), vj.Normal(0.0, 0.0), jnp.square, form='entropy')


def test_missing_kl_is_refused_with_an_alternative(key):
  @vj.distribution
  class Uniform(vj.Distribution):
    high: jax.Array
    shape = ()

  with pytest.raises(TypeError, match="form='entropy' or form='joint'"):
    vj.elbo(key, vj.Normal(0.0, 0.0), Uniform(1.0), jnp.square)


W_ENCODER = np.random.RandomState(0).normal(size=(6, 4)) / 3
W_DECODER = np.random.RandomState(1).normal(size=(2, 6))
ONE = jnp.array([1.0, 0.0, 1.0, 1.0, 0.0, 0.0])


def bare_functions():
  params = {
    'encoder': jnp.asarray(W_ENCODER),
    'decoder': jnp.asarray(W_DECODER),
  }
  apply = lambda params, name, x: x @ params[name]
  return params, apply


def linen_functions():
  from flax import linen

  modules = {
    'encoder': linen.Dense(4, use_bias=False),
    'decoder': linen.Dense(6, use_bias=False),
  }
  params = {
    'encoder': {'params': {'kernel': jnp.asarray(W_ENCODER)}},
    'decoder': {'params': {'kernel': jnp.asarray(W_DECODER)}},
  }
  apply = lambda params, name, x: modules[name].apply(params[name], x)
  return params, apply


def nnx_functions():
  from flax import nnx

  class Pair(nnx.Module):
    def __init__(self, rngs):
      self.encoder = nnx.Linear(6, 4, use_bias=False, rngs=rngs)
      self.decoder = nnx.Linear(2, 6, use_bias=False, rngs=rngs)

  pair = Pair(nnx.Rngs(0))
  pair.encoder.kernel.set_value(jnp.asarray(W_ENCODER))
  pair.decoder.kernel.set_value(jnp.asarray(W_DECODER))
  graph, params = nnx.split(pair)
  apply = lambda params, name, x: getattr(nnx.merge(graph, params), name)(x)
  return params, apply


@pytest.mark.slow
@pytest.mark.parametrize(
  'functions', [bare_functions, linen_functions, nnx_functions]
)
def test_functions_of_any_library_make_a_vae(functions):
  params, apply = functions()
  vae = vj.VAE(
    init=lambda key: params,
    encode=lambda p, x: vj.Normal(*jnp.split(apply(p, 'encoder', x), 2)),
    decode=lambda p, z: vj.Bernoulli(apply(p, 'decoder', z)),
    prior=lambda p: vj.Normal(jnp.zeros(2), jnp.zeros(2)),
  )
  loss = lambda p: -elbo_of(vae, jax.random.key(0), p, ONE).elbo
  value, grads = jax.jit(jax.value_and_grad(loss))(params)

  # From the definition.
  def by_hand(encoder, decoder):
    loc, log_scale = jnp.split(ONE @ encoder, 2)
    q = vj.Normal(loc, log_scale)
    z = vj.reparameterise(jax.random.split(jax.random.key(0), 1)[0], q)
    logits = z @ decoder
    log_lik = jnp.sum(jax.nn.log_sigmoid(jnp.where(ONE == 1, logits, -logits)))
    divergence = (jnp.exp(2 * log_scale) + loc**2 - 1) / 2 - log_scale
    return jnp.sum(divergence) - log_lik

  truth, true_grads = jax.value_and_grad(by_hand, (0, 1))(
    jnp.asarray(W_ENCODER), jnp.asarray(W_DECODER)
  )
  np.testing.assert_allclose(value, truth, rtol=1e-5)
  # Compared by shape: the order of the leaves depends on the library.
  found = {leaf.shape: leaf for leaf in jax.tree.leaves(grads)}
  for expected in true_grads:
    np.testing.assert_allclose(found[expected.shape], expected, rtol=1e-4)


def test_numpyro_distributions_make_a_model():
  """As q, prior and likelihood, where the bound is known exactly."""
  dist = pytest.importorskip('numpyro.distributions')

  def bound(key, loc):
    q = vj.from_numpyro(dist.Normal(loc, jnp.array([0.6, 0.8])))
    prior = vj.from_numpyro(dist.Normal(jnp.zeros(2), 1.0).to_event(1))
    log_likelihood = lambda z: vj.from_numpyro(dist.Normal(z, 0.5)).log_prob(
      jnp.array([1.0, -1.0])
    )
    terms = vj.elbo(key, q, prior, log_likelihood, form='joint')
    return terms.elbo

  loc, scale, x = np.array([0.5, -0.2]), np.array([0.6, 0.8]), np.array([1, -1])
  keys = jax.random.split(jax.random.key(0), 20_000)
  draws = jax.jit(jax.vmap(jax.value_and_grad(bound, 1), (0, None)))
  values, grads = draws(keys, jnp.asarray(loc))
  misfit = ((x - loc) ** 2 + scale**2) / (2 * 0.25)
  log_lik = -misfit - np.log(0.5) - 0.5 * np.log(2 * np.pi)
  divergence = (loc**2 + scale**2 - 1) / 2 - np.log(scale)
  assert_mean(values, np.sum(log_lik - divergence))
  assert_mean(grads, (x - loc) / 0.25 - loc)


def test_numpyro_pair_without_a_kl_is_refused_with_an_alternative():
  dist = pytest.importorskip('numpyro.distributions')
  q = vj.from_numpyro(dist.Normal(jnp.zeros(2), 1.0))
  with pytest.raises(
    TypeError, match=r'KL\(numpyro Normal \|\| Normal\).*joint'
  ):
    vj.elbo(jax.random.key(0), q, vj.Normal(jnp.zeros(2), 0.0), jnp.sum)
