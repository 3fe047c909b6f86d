import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import vae_jax as vj
from tests import helpers
from tests.helpers import assert_mean
from vae_jax import objectives

FORMS = ('kl', 'entropy', 'joint')
VAE = helpers.linear_gaussian(helpers.LOADINGS, helpers.BIAS, helpers.NOISE)
X = jnp.array([0.5, -1.0, 0.2, 0.7])
LOG_P = stats.multivariate_normal(
  helpers.BIAS, helpers.evidence_covariance()
).logpdf(np.asarray(X))
OFFSET = np.array([0.4, -0.3])


def bound(key, offset, **options):
  return objectives.vae_elbo(VAE, key, {'offset': offset}, X, **options)


def exact_bound():
  """log p(x) - KL(q || p(z|x)), the first of the three forms."""
  posterior = VAE.encode({'offset': jnp.zeros(2)}, X)
  q = VAE.encode({'offset': OFFSET}, X)
  return LOG_P - float(vj.kl(q, posterior))


@pytest.mark.parametrize('form', FORMS)
def test_every_form_estimates_the_same_bound(form, key):
  keys = jax.random.split(key, 20_000)
  terms = jax.vmap(lambda key: bound(key, OFFSET, form=form))(keys)
  assert_mean(terms.elbo, exact_bound())
  q, prior = VAE.encode({'offset': OFFSET}, X), VAE.prior(None)
  assert_mean(terms.kl + 0 * terms.elbo, float(vj.kl(q, prior)))


@pytest.mark.parametrize('form', FORMS)
def test_every_form_has_the_same_gradient(form, key):
  keys = jax.random.split(key, 20_000)
  grad = jax.grad(lambda offset, key: bound(key, offset, form=form).elbo)
  grads = jax.vmap(grad, (None, 0))(jnp.array(OFFSET), keys)
  posterior = VAE.encode({'offset': jnp.zeros(2)}, X)
  # d/d offset of -KL(q || posterior), both normal of one scale.
  exact = -OFFSET * np.exp(-2 * np.asarray(posterior.log_scale))
  assert_mean(grads, exact)


def test_the_bound_is_tight_at_the_exact_posterior(key):
  keys = jax.random.split(key, 100)
  terms = jax.vmap(lambda key: bound(key, jnp.zeros(2), form='joint'))(keys)
  np.testing.assert_allclose(terms.elbo, LOG_P, rtol=1e-4)


def test_terms_add_up_and_beta_weighs_the_kl(key):
  terms = bound(key, OFFSET, beta=2.5, num_samples=3)
  np.testing.assert_allclose(
    terms.elbo, terms.log_likelihood - 2.5 * terms.kl, rtol=1e-6
  )


def test_more_samples_lower_the_variance(key):
  one, many = (
    jax.vmap(lambda key, n=n: bound(key, OFFSET, num_samples=n).elbo)(keys)
    for n, keys in zip((1, 16), jax.random.split(key, (2, 5000)), strict=True)
  )
  # The ratio of the variances is 16 and its log has standard error 0.04.
  assert abs(np.log(np.var(one) / np.var(many) / 16)) < 0.3


def test_unknown_form_and_no_samples_are_refused(key):
  with pytest.raises(ValueError, match="form is 'nope'"):
    bound(key, OFFSET, form='nope')
  with pytest.raises(ValueError, match='num_samples'):
    bound(key, OFFSET, num_samples=0)


def test_kl_form_without_a_closed_form_says_what_would_do(key):
  @vj.distribution
  class Uniform(vj.Distribution):
    high: jax.Array
    shape = ()

  with pytest.raises(TypeError, match="form='entropy' or form='joint'"):
    vj.elbo(key, vj.Normal(0.0, 0.0), Uniform(1.0), jnp.square)


def iw(key, offset, num_samples):
  params = {'offset': offset}
  q, log_joint = VAE.encode(params, X), objectives.vae_log_joint(VAE, params, X)
  return vj.iw_elbo(key, q, log_joint, num_samples=num_samples)


def test_importance_weighted_bound_rises_from_the_elbo_to_log_p(key):
  all_keys = jax.random.split(key, (3, 5000))
  values = {
    k: np.asarray(jax.vmap(lambda key, k=k: iw(key, OFFSET, k))(keys))
    for k, keys in zip((1, 5, 50), all_keys, strict=True)
  }
  assert_mean(values[1], exact_bound())
  means = [v.mean() for v in values.values()]
  errors = [v.std() / np.sqrt(len(v)) for v in values.values()]
  assert means[1] - means[0] > 6 * errors[0]
  assert means[2] - means[1] > 6 * errors[1]
  assert means[2] < LOG_P + 6 * errors[2]
  assert LOG_P - means[2] < 0.1 * (LOG_P - means[0])


def test_loss_is_minus_the_mean_bound_with_a_key_an_example(key):
  config = vj.Config(latent_dim=2, hidden_sizes=(8,), beta=0.5, num_samples=2)
  vae = vj.make_vae(config, (2, 2, 1))
  init_key, loss_key = jax.random.split(key)
  params = vae.init(init_key)
  batch = jnp.ones((3, 2, 2, 1))
  loss = objectives.make_loss(config, vae)
  with jax.debug_key_reuse(False):
    value, terms = loss(loss_key, params, batch)
    each = [
      objectives.vae_elbo(vae, k, params, x, num_samples=2, beta=0.5)
      for k, x in zip(jax.random.split(loss_key, 3), batch, strict=True)
    ]
  np.testing.assert_allclose(value, -np.mean([t.elbo for t in each]), rtol=1e-5)
  np.testing.assert_allclose(
    terms.log_likelihood, [t.log_likelihood for t in each], rtol=1e-5
  )
  # Equal images, different noise.
  assert len(np.unique(np.asarray(terms.log_likelihood))) == 3


def test_objective_flag_changes_the_loss(key):
  config = vj.Config(
    latent_dim=2, hidden_sizes=(8,), objective='iwae', num_samples=4
  )
  vae = vj.make_vae(config, (2, 2, 1))
  init_key, loss_key = jax.random.split(key)
  params = vae.init(init_key)
  value, terms = objectives.make_loss(config, vae)(
    loss_key, params, jnp.ones((3, 2, 2, 1))
  )
  assert terms._fields == ('iw_elbo',)
  np.testing.assert_allclose(value, -np.mean(terms.iw_elbo), rtol=1e-6)


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


@pytest.mark.parametrize(
  'functions', [bare_functions, linen_functions, nnx_functions]
)
def test_anyones_functions_and_parameters_make_a_vae(functions):
  params, apply = functions()
  vae = vj.VAE(
    init=lambda key: params,
    encode=lambda p, x: vj.Normal(*jnp.split(apply(p, 'encoder', x), 2)),
    decode=lambda p, z: vj.Bernoulli(apply(p, 'decoder', z)),
    prior=lambda p: vj.Normal(jnp.zeros(2), jnp.zeros(2)),
  )
  loss = lambda p: -objectives.vae_elbo(vae, jax.random.key(0), p, ONE).elbo
  value, grads = jax.jit(jax.value_and_grad(loss))(params)

  # The same by hand, from the definition.
  def by_hand(encoder, decoder):
    loc, log_scale = jnp.split(ONE @ encoder, 2)
    q = vj.Normal(loc, log_scale)
    z = vj.reparameterise(jax.random.split(jax.random.key(0), 1)[0], q)
    logits = z @ decoder
    log_lik = jnp.sum(jax.nn.log_sigmoid(jnp.where(ONE == 1, logits, -logits)))
    divergence = (jnp.exp(2 * log_scale) + loc**2 - 1) / 2 - log_scale
    return jnp.sum(divergence) - log_lik

  exact, exact_grads = jax.value_and_grad(by_hand, (0, 1))(
    jnp.asarray(W_ENCODER), jnp.asarray(W_DECODER)
  )
  np.testing.assert_allclose(value, exact, rtol=1e-5)
  # By shape: the order of the leaves is the library's own.
  found = {leaf.shape: leaf for leaf in jax.tree.leaves(grads)}
  for expected in exact_grads:
    np.testing.assert_allclose(found[expected.shape], expected, rtol=1e-4)


def test_distributions_of_numpyro_make_a_model():
  """As q, prior and likelihood at once, where the bound is known exactly."""
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


def test_a_foreign_pair_without_closed_form_names_what_would_do():
  dist = pytest.importorskip('numpyro.distributions')
  q = vj.from_numpyro(dist.Normal(jnp.zeros(2), 1.0))
  with pytest.raises(
    TypeError, match=r'KL\(numpyro Normal \|\| Normal\).*joint'
  ):
    vj.elbo(jax.random.key(0), q, vj.Normal(jnp.zeros(2), 0.0), jnp.sum)
