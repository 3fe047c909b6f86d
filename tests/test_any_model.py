"""Five kinds of model, each through every service of the library."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

import vae_jax as vj
from tests import latent_models
from vae_jax import runs
from vae_jax.objectives import ESTIMATORS, OBJECTIVES

# A model admits every estimator unless its posterior has no inverse. Those of
# discrete latents have tests of their own.
ALL = [
  (o, e)
  for o, row in OBJECTIVES.items()
  for e in row.estimators
  if not ESTIMATORS[e].families
]
WITHOUT_INVERSE = [
  *[(o, 'pathwise') for o in OBJECTIVES if o != 'piwae'],
]


def gradients(case, pairs):
  """Returns the gradient of each (objective, estimator), in one program."""
  model, params, data, _ = case
  losses = {
    pair: vj.make_loss(
      model,
      objective=pair[0],
      estimator=pair[1],
      num_samples=1 if pair[1] == 'stl' else 2,
    )
    for pair in pairs
  }
  key = jax.random.key(1)
  return jax.jit(
    lambda params: {
      pair: jax.grad(loss, 1, has_aux=True)(jax.random.clone(key), params, data)
      for pair, loss in losses.items()
    }
  )(params)


def assert_log_marginal(found, exact, effective_sample_size, num_samples):
  """Asserts log p(x) to 6 standard errors of the mean importance weight.

  With K weights of relative variance K / ESS - 1, log 1/K sum_k w_k has about
  the standard error sqrt((K / ESS - 1) / K): false alarms below 1e-6.
  """
  spread = num_samples / np.asarray(effective_sample_size) - 1
  error = np.sqrt(np.maximum(spread, 0) / num_samples)
  assert np.all(np.abs(found - exact) < 6 * error + 1e-3), (found, exact, error)


def check_services(case, pairs=ALL):
  """Checks gradients, NLL, AIS and latent statistics of one model."""
  model, params, data, exact = case
  for pair, (gradient, _) in gradients(case, pairs).items():
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
      assert np.all(np.isfinite(leaf)), (pair, path)
    assert any(np.any(leaf != 0) for leaf in jax.tree.leaves(gradient)), pair
  curve = vj.estimate_nll_curve(
    jax.random.key(2), model, params, data, num_samples=(1000,)
  )
  assert_log_marginal(
    -curve.at[1000].per_example, exact, curve.effective_sample_size, 1000
  )
  few = jax.tree.map(lambda leaf: leaf[:3], data)
  annealed = vj.estimate_ais(
    jax.random.key(3), model, params, few, num_chains=16, num_temperatures=60
  ).per_example
  assert_log_marginal(
    annealed.log_marginal, exact[:3], annealed.effective_sample_size, 16
  )
  latents = vj.measure_latents(jax.random.key(4), model, params, data)
  assert np.all(np.isfinite(latents.kl.mean))
  assert np.all(np.isfinite(latents.scale))
  return latents


@pytest.mark.slow
def test_a_conditional_vae():
  check_services(latent_models.conditional_vae())


@pytest.mark.slow
def test_two_stochastic_layers():
  latents = check_services(latent_models.two_layers())
  assert latents.sizes == {'z1[0]': 1, 'z1[1]': 1, 'z2[0]': 1}
  assert latents.means.shape[1] == 3


@pytest.mark.slow
def test_a_prior_with_learned_parameters():
  check_services(latent_models.learned_prior())


@pytest.mark.slow
def test_a_posterior_without_entropy():
  case = latent_models.no_entropy()
  assert not case.model.condition(
    case.params, case.data[0]
  ).posterior.has_entropy
  check_services(case)


@pytest.mark.slow
def test_a_posterior_without_inverse():
  case = latent_models.no_inverse()
  latents = check_services(case, WITHOUT_INVERSE)
  assert np.isnan(latents.mutual_information.mean)
  for pair in set(ALL) - set(WITHOUT_INVERSE):
    assert ESTIMATORS[pair[1]]
    with pytest.raises(TypeError, match='PlanarFlow has no inverse'):
      gradients(case, [pair])


@vj.distribution
class EqualMixture(vj.Distribution):
  """Equally weighted components, stacked along the first axis."""

  components: vj.Normal

  @property
  def shape(self):
    return self.components.shape[1:]

  def sample(self, key):
    index_key, draw_key = jax.random.split(key)
    index = jax.random.randint(index_key, (), 0, self.components.shape[0])
    return jax.tree.map(lambda x: x[index], self.components).sample(draw_key)

  def log_prob(self, z):
    each = jax.vmap(lambda component: component.log_prob(z))(self.components)
    return jax.nn.logsumexp(each) - jnp.log(len(each))


@pytest.mark.slow
def test_a_mixture_of_the_encoders_outputs_as_prior():
  """The Vamp prior: p(z) = 1/M sum_m q(z|u_m), u_m learned."""
  base = latent_models.no_entropy()
  weights = latent_models.WEIGHTS.astype(np.float32)
  encoder = {k: base.params['encoder'][k] for k in ('weights', 'log_scale')}
  params = {'encoder': encoder, 'inputs': jnp.asarray(base.data[:3])}
  encode = lambda params, x: vj.Normal(
    params['encoder']['weights'] @ x, params['encoder']['log_scale']
  )
  model = vj.VAE(
    init=lambda key: params,
    encode=encode,
    decode=lambda params, z: vj.Normal(
      weights @ z, jnp.full(3, np.log(latent_models.NOISE))
    ),
    prior=lambda params: EqualMixture(
      jax.vmap(encode, (None, 0))(params, params['inputs'])
    ),
  )
  scale = np.exp(np.asarray(encoder['log_scale'], np.float64))
  noise = latent_models.NOISE**2 * np.eye(3)
  covariance = weights @ np.diag(scale**2) @ weights.T + noise
  log_p = [
    stats.multivariate_normal(
      weights @ np.asarray(encoder['weights']) @ u, covariance
    ).logpdf(base.data)
    for u in base.data[:3]
  ]
  exact = special.logsumexp(log_p, axis=0) - np.log(3)
  case = latent_models.Case(model, params, base.data, exact)
  # A mixture has no transform z = g(lambda, eps).
  check_services(case, [pair for pair in ALL if pair[1] != 'gdreg'])


@pytest.mark.slow
def test_two_layers_are_trained_reported_and_loaded(tmp_path):
  """Ten numbers x, z1 of two and z2 of one, from Python."""

  def init(key):
    small = lambda key, *shape: 0.3 * jax.random.normal(key, shape)
    keys = jax.random.split(key, 3)
    z2 = {'weights': small(keys[0], 1, 2), 'log_scale': jnp.zeros(1)}
    return {'in': small(keys[1], 2, 10), 'z2': z2, 'out': small(keys[2], 10, 2)}

  def encode(params, x):
    z2 = vj.Conditional(latent_models.posterior_of_z2, params['z2'])
    return vj.Chain(z1=vj.Normal(params['in'] @ x, jnp.zeros(2)), z2=z2)

  def decode(params, z):
    return vj.Normal(params['out'] @ z['z1'], jnp.zeros(10))

  def prior(params):
    z1 = vj.Conditional(latent_models.prior_of_z1, params['z2']['weights'].T)
    return vj.Chain(z2=vj.Normal(jnp.zeros(1), jnp.zeros(1)), z1=z1)

  model = vj.VAE(init, encode, decode, prior)
  config = runs.Config(
    dataset='linear_gaussian',
    likelihood='normal',
    estimator='stl',
    num_epochs=1,
    batch_size=500,
    nll_num_samples=10,
  )
  metrics = runs.train(config, folder=str(tmp_path), model=model)
  assert metrics['latent_units'] == 3
  assert 'hidden_sizes' not in (tmp_path / 'report.html').read_text()
  run = runs.load_run(tmp_path, model=model)
  q = run.encode(np.zeros((2, 10), np.float32))
  assert jax.vmap(lambda q: q.sample(jax.random.key(0)))(q)['z2'].shape == (
    2,
    1,
  )
  assert run.metrics['nll'] == metrics['nll']
