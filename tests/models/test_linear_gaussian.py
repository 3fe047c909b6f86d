import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy import stats

import vae_jax as vj
from tests.helpers import assert_mean
from vae_jax.models import linear_gaussian
from vae_jax.models.linear_gaussian import maximum_log_likelihood

SIZES = [(6, 3), (3, 5), (1, 1), (784, 20)]


def make_model(data_dim, latent_dim, seed=0):
  """A model of no particular structure, float64."""
  draw = np.random.RandomState(seed).standard_normal
  weights, loc = draw((data_dim, latent_dim)), draw(data_dim)
  return vj.LinearGaussian(weights, loc, np.log(0.3))


def make_data(model, count, seed=1):
  """Examples that do not come from the model, off its centre."""
  spread = np.random.RandomState(seed).standard_normal((count, len(model.loc)))
  return 1.5 * spread + 0.5


def reference(model):
  """Returns p(x) of scipy."""
  covariance = model.weights @ model.weights.T
  covariance += np.exp(2 * model.log_scale) * np.eye(len(model.loc))
  factor = stats.Covariance.from_cholesky(np.linalg.cholesky(covariance))
  return stats.multivariate_normal(model.loc, factor)


MODEL = make_model(6, 3)
DATA = make_data(MODEL, 20)
MEAN_FIELD = vj.Normal(np.array([0.4, -1.0, 0.2]), np.array([-0.5, 0.1, -1.2]))
FULL = vj.MultivariateNormal(
  np.array([0.4, -1.0, 0.2]),
  np.array([[0.5, 0.0, 0.0], [-0.3, 0.9, 0.0], [0.2, 0.6, 0.4]]),
)
# (float64 enabled, relative error of densities of 10 to 10,000 nats)
PRECISIONS = [(False, 3e-6), (True, 1e-11)]


@pytest.mark.quick('(6, 3)', '(1, 1)')
@pytest.mark.parametrize('size', SIZES, ids=str)
def test_log_marginal_equals_scipy(size):
  model = make_model(*size)
  x = make_data(model, 5)
  exact = reference(model).logpdf(x)
  for x64, rtol in PRECISIONS:
    with jax.enable_x64(x64):
      log_marginal = jax.vmap(vj.LinearGaussian.log_marginal, (None, 0))
      value = jax.jit(log_marginal)(model, x)
    np.testing.assert_allclose(value, exact, rtol=rtol)


@pytest.mark.parametrize('size', SIZES[:3], ids=str)
def test_marginal_equals_scipy(size):
  model = make_model(*size)
  exact, x = reference(model), make_data(model, 1)[0]
  with jax.enable_x64(True):

    def moments_and_density(model, x):
      p = model.marginal()
      return p.mean(), p.covariance(), p.log_prob(x)

    mean, covariance, density = jax.jit(moments_and_density)(model, x)
    np.testing.assert_allclose(mean, exact.mean)
    np.testing.assert_allclose(covariance, exact.cov, rtol=1e-10)
    np.testing.assert_allclose(density, exact.logpdf(x), rtol=1e-10)


def test_log_marginal_is_accurate_at_small_sigma():
  """Woodbury's identity would subtract two numbers of 10^7."""
  with jax.enable_x64(True):
    model = MODEL._replace(log_scale=np.log(1e-3))
    x = jax.jit(model.sample)(jax.random.key(0))
  single = jax.tree.map(np.float32, model)
  # log p has a term x^2 / sigma^2, and x itself is rounded to 6e-8.
  exact = reference(jax.tree.map(np.float64, single)).logpdf(np.float32(x))
  value = jax.jit(single.log_marginal)(jnp.float32(x))
  np.testing.assert_allclose(value, exact, atol=0.05)


def test_posterior_is_the_normalised_joint():
  """Mean, covariance and density by quadrature over z, the trapezoid rule."""
  model, x = make_model(3, 2), np.array([0.5, -1.0, 0.3])
  with jax.enable_x64(True):
    posterior = jax.jit(model.posterior)(x)
    centre, covariance = map(
      np.asarray, (posterior.mean(), posterior.covariance())
    )
    steps = 10 * np.linspace(-1, 1, 201)
    axes = centre[:, None] + np.sqrt(np.diag(covariance))[:, None] * steps
    z = np.stack(np.meshgrid(*axes, indexing='ij'), axis=-1).reshape(-1, 2)
    both = lambda z: (model.log_joint(x)(z), posterior.log_prob(z))
    log_joint, density = map(np.asarray, jax.jit(jax.vmap(both))(z))
    density = np.exp(density)
  joint = np.exp(log_joint) * np.prod(axes[:, 1] - axes[:, 0])
  evidence = np.sum(joint)
  p = joint / evidence
  np.testing.assert_allclose(centre, p @ z, rtol=1e-8)
  spread = (z - centre).T @ (p[:, None] * (z - centre))
  np.testing.assert_allclose(covariance, spread, rtol=1e-8)
  np.testing.assert_allclose(density, np.exp(log_joint) / evidence, rtol=1e-8)
  exact = reference(model).logpdf(x)
  np.testing.assert_allclose(np.log(evidence), exact, rtol=1e-8)


@pytest.mark.parametrize(('x64', 'rtol'), PRECISIONS)
@pytest.mark.parametrize('q', [MEAN_FIELD, FULL], ids=['Normal', 'full'])
def test_elbo_plus_divergence_from_the_posterior_is_log_p(q, x64, rtol):
  with jax.enable_x64(x64):

    def sides(x):
      divergence = vj.kl(q, MODEL.posterior(x))
      return MODEL.elbo(q, x) + divergence, MODEL.log_marginal(x), divergence

    total, log_p, divergence = map(np.asarray, jax.jit(jax.vmap(sides))(DATA))
  assert np.min(divergence) > 1
  # The rounding of the two terms, which are larger than their sum.
  size = np.abs(log_p) + 2 * divergence
  assert np.all(np.abs(total - log_p) < rtol * size)


@pytest.mark.parametrize('q', [MEAN_FIELD, FULL], ids=['Normal', 'full'])
def test_elbo_is_the_mean_of_sampled_bounds(q, key):
  """False alarm: 2e-9, twice."""
  x = jnp.asarray(DATA[0], jnp.float32)
  draw = lambda key: vj.elbo(key, q, MODEL.prior(), MODEL.log_likelihood(x))
  draws = jax.jit(jax.vmap(draw))(jax.random.split(key, 20_000)).elbo
  assert_mean(draws, float(MODEL.elbo(q, x)))


def mean_log_marginal(model, data):
  return jnp.mean(jax.vmap(model.log_marginal)(data))


def test_gradients_equal_finite_differences():
  with jax.enable_x64(True):
    model = jax.tree.map(jnp.asarray, MODEL)
    f = jax.jit(functools.partial(mean_log_marginal, data=jnp.asarray(DATA)))
    check_grads(f, (model,), order=1, modes=('rev',), rtol=1e-6)


def test_gradient_equals_that_of_the_elbo_at_the_exact_posterior():
  """KL(q || p(z|x)) is at its minimum, 0, and adds no gradient."""
  x = DATA[0]
  with jax.enable_x64(True):
    model = jax.tree.map(jnp.asarray, MODEL)
    q = MODEL.posterior(x)
    exact, bound = jax.jit(
      lambda model, q: (
        jax.grad(lambda model: model.log_marginal(x))(model),
        jax.grad(lambda model: model.elbo(q, x))(model),
      )
    )(model, q)
  for a, b in zip(exact, bound, strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def test_draws_have_the_moments_of_the_marginal(key):
  """False alarm: 2e-9 per comparison, of 6 means and 36 products."""
  draws = jax.jit(jax.vmap(MODEL.sample))(jax.random.split(key, 20_000))
  centred = np.asarray(draws) - MODEL.loc
  assert_mean(centred, np.zeros(6))
  assert_mean(centred[:, :, None] * centred[:, None, :], reference(MODEL).cov)


def test_jit_and_vmap_equal_a_loop():
  x = jnp.asarray(DATA, jnp.float32)
  # The model is an argument, so that its values are not compile-time constants.
  whole = jax.jit(
    jax.vmap(lambda model, x: model.elbo(MEAN_FIELD, x), (None, 0))
  )
  np.testing.assert_allclose(
    whole(MODEL, x)[:3],
    [MODEL.elbo(MEAN_FIELD, row) for row in x[:3]],
    rtol=1e-5,
  )
  whole = jax.jit(jax.vmap(vj.LinearGaussian.posterior, (None, 0)))(MODEL, x)
  for i in range(2):
    one = MODEL.posterior(x[i])
    np.testing.assert_allclose(whole.loc[i], one.loc, rtol=1e-4)
    np.testing.assert_allclose(whole.scale_tril[i], one.scale, rtol=1e-4)


def test_no_matrix_of_the_data_dimension_squared_is_formed():
  """At D = 784 no array of 784 x 784 appears in the program."""
  model = make_model(784, 20)
  program = str(jax.make_jaxpr(model.log_marginal)(jnp.zeros(784)))
  assert '784,20' in program
  assert '784,784' not in program


@pytest.mark.quick('2')
@pytest.mark.parametrize('latent_dim', [1, 2, 5, 6, 9])
def test_maximum_likelihood_is_a_stationary_maximum(latent_dim):
  draw = np.random.RandomState(2).standard_normal
  data = draw((300, 6)) * np.arange(1, 7) @ draw((6, 6)) + 3
  with jax.enable_x64(True):
    model = vj.maximum_likelihood(data, latent_dim)
    assert model.weights.shape == (6, latent_dim)
    f = functools.partial(mean_log_marginal, data=jnp.asarray(data))
    f = jax.jit(jax.value_and_grad(f))
    best, gradient = f(model)
    for part in gradient:
      np.testing.assert_allclose(part, 0, atol=1e-9)
    np.testing.assert_allclose(
      best, maximum_log_likelihood(data, latent_dim), rtol=1e-10
    )
    for size in (1e-3, 1e-1, 1.0):
      for _ in range(5):
        move = lambda x, size=size: x + size * draw(np.shape(x))
        assert f(jax.tree.map(move, model))[0] < best
  weights = np.asarray(model.weights)
  gram = weights.T @ weights
  np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-8)
  assert np.all(np.diff(np.diag(gram)) <= 0)


@pytest.mark.parametrize('latent_dim', [5, 6])
def test_full_rank_fit_is_the_gaussian_of_the_sample_moments(latent_dim):
  data = make_data(MODEL, 50)
  exact = stats.multivariate_normal(data.mean(axis=0), np.cov(data.T, ddof=0))
  np.testing.assert_allclose(
    maximum_log_likelihood(data, latent_dim), np.mean(exact.logpdf(data))
  )


def test_equal_eigenvalues_give_zero_weights():
  # The mean of three of the four exceeds the first by rounding.
  ring = 0.3 * np.concatenate([np.eye(4), -np.eye(4)])
  model = vj.maximum_likelihood(ring, 1)
  np.testing.assert_allclose(model.weights, 0, atol=1e-8)
  np.testing.assert_allclose(np.exp(2 * model.log_scale), 0.0225, rtol=1e-5)


def test_covariance_is_summed_in_chunks(monkeypatch):
  whole = maximum_log_likelihood(DATA, 2)
  monkeypatch.setattr(linear_gaussian, '_CHUNK', 7)
  np.testing.assert_allclose(maximum_log_likelihood(DATA, 2), whole)


def test_unbounded_likelihood_is_refused():
  # Rank six of eight; the other eigenvalues are rounding.
  flat = DATA @ np.random.RandomState(3).standard_normal((6, 8))
  assert np.isfinite(maximum_log_likelihood(flat, 5))
  assert maximum_log_likelihood(flat, 6) == np.inf
  with pytest.raises(ValueError, match='no more than latent_dim = 6'):
    vj.maximum_likelihood(flat, 6)


@pytest.mark.parametrize('shape', [(4,), (0, 3), (2, 4, 4)])
def test_data_that_are_not_a_matrix_are_refused(shape):
  with pytest.raises(ValueError, match=r'must be \[N, D\]'):
    vj.maximum_likelihood(np.zeros(shape), 1)


def test_wrong_shapes_and_families_are_refused():
  for of_x in (MODEL.log_marginal, MODEL.posterior):
    with pytest.raises(ValueError, match='has shape'):
      of_x(jnp.zeros(5))
  with pytest.raises(ValueError, match='has shape'):
    MODEL.elbo(vj.Normal(jnp.zeros(2), 0.0), jnp.zeros(6))
  with pytest.raises(TypeError, match='Laplace'):
    MODEL.elbo(vj.Laplace(jnp.zeros(3), 0.0), jnp.zeros(6))
