"""Evaluation of models that are not plain VAEs, against exact log p(x)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from tests import helpers, latent_models
from vae_jax import evaluate
from vae_jax.ais import annealing

ALL = tuple(latent_models.CASES)


@pytest.mark.quick('conditional_vae')
@pytest.mark.parametrize('name', ALL)
def test_nll_equals_the_exact_marginal(name, key):
  """Six standard errors as estimated from the weights, 24 examples."""
  case = latent_models.CASES[name]()
  curve = evaluate.estimate_nll_curve(
    key, case.model, case.params, case.data, num_samples=(2000,)
  )
  ess = curve.effective_sample_size.astype(np.float64)
  errors = np.sqrt((2000 / ess - 1) / 2000)
  assert np.all(errors < 0.1)
  gaps = -curve.at[2000].per_example - case.log_marginal
  assert np.all(np.abs(gaps) < helpers.SIGMAS * errors + 0.001)
  helpers.assert_mean(gaps + errors**2 / 2, 0)


@pytest.mark.quick('conditional_vae-0.176')
@pytest.mark.parametrize(
  ('name', 'gap'),
  [
    ('conditional_vae', 0.176),
    ('two_layers', 0.079),
    ('learned_prior', 0.177),
    ('no_entropy', 0.438),
    ('no_inverse', 0.274),
  ],
)
def test_elbo_has_the_gap_of_the_posterior(name, gap, key):
  """The gaps are means of log w over 1e5 samples, with errors below 0.005."""
  case = latent_models.CASES[name]()
  data = jax.tree.map(jnp.asarray, case.data)
  evaluate_elbo = evaluate.make_evaluate_elbo(case.model)
  many = jax.jit(jax.vmap(evaluate_elbo, (0, None, None)))
  terms = many(jax.random.split(key, 1000), case.params, data)
  gaps = case.log_marginal.mean() - np.mean(terms.elbo, axis=1)
  helpers.assert_mean(gaps, gap, sigmas=helpers.SIGMAS + 1)
  assert gap > 0.05


@pytest.mark.quick('learned_prior')
@pytest.mark.parametrize('name', ALL)
def test_latents(name, key):
  case = latent_models.CASES[name]()
  found = vj.measure_latents(key, case.model, case.params, case.data)
  dimensions = 3 if name == 'two_layers' else 2
  assert found.means.shape == (latent_models.NUM_EXAMPLES, dimensions)
  assert found.active.all()
  assert list(found.sizes) == {
    'two_layers': ['z1[0]', 'z1[1]', 'z2[0]'],
    'no_entropy': ['z'],
    'no_inverse': ['z'],
  }.get(name, ['z[0]', 'z[1]'])
  assert sum(found.sizes.values()) == dimensions
  total = np.sum(found.kl.mean)
  if name == 'no_inverse':
    assert np.all(np.isnan([*found.mutual_information, *found.marginal_kl]))
    return
  information, error = found.mutual_information
  marginal, other = found.marginal_kl
  # The KL of `two_layers` and `no_entropy` has a sampling error as well.
  slack = np.sum(found.kl.standard_error) if len(found.sizes) < 2 else 0
  limit = helpers.SIGMAS * (error + other + slack)
  assert abs(information + marginal - total) < limit
  assert 0 < information < np.log(latent_models.NUM_EXAMPLES)


@pytest.fixture
def fixed_step_sizes(monkeypatch):
  """Skips the preliminary run, a third of the program to compile."""
  find = lambda key, path, z, betas, **options: jnp.full_like(betas, 0.4)
  monkeypatch.setattr(annealing, 'find_step_sizes', find)


def check_sandwich(name, case, key, **options):
  """Asserts that both bounds enclose log p(x) of data like `case.data`."""
  found = vj.estimate_sandwich(
    key,
    case.model,
    case.params,
    num_examples=96,
    num_chains=4,
    num_temperatures=40,
    num_leapfrog_steps=3,
    **options,
  )
  # Minus the entropy of x, or of x given y: equal for all y.
  covariance = latent_models.covariance(name)
  exact = -0.5 * np.linalg.slogdet(2 * np.pi * np.e * covariance)[1]
  lower, upper, gap = found
  assert lower.mean - helpers.SIGMAS * lower.standard_error < exact
  assert upper.mean + helpers.SIGMAS * upper.standard_error > exact
  assert gap.mean > -helpers.SIGMAS * gap.standard_error
  assert abs(gap.mean) < 0.5
  for bound in lower, upper:
    error = helpers.SIGMAS * bound.standard_error + max(gap.mean, 0)
    assert abs(bound.mean - exact) < error


@pytest.mark.parametrize(
  ('name', 'initial'),
  [
    ('two_layers', 'posterior'),
    ('learned_prior', lambda inference: inference.prior),
    ('no_entropy', 'prior'),
    ('no_inverse', 'prior'),
  ],
)
@pytest.mark.slow
def test_sandwich_of_simulated_data(name, initial, key, fixed_step_sizes):
  check_sandwich(name, latent_models.CASES[name](), key, initial=initial)


@pytest.mark.slow
@pytest.mark.parametrize(
  ('name', 'initial'),
  [
    ('conditional_vae', 'prior'),
    pytest.param('two_layers', 'posterior', marks=pytest.mark.slow),
  ],
)
def test_ais_equals_the_exact_marginal(name, initial, key):
  """Six standard errors as estimated from the weights, 24 examples."""
  case = latent_models.CASES[name]()
  found = vj.estimate_ais(
    key,
    case.model,
    case.params,
    case.data,
    num_chains=60,
    num_temperatures=40,
    num_leapfrog_steps=3,
    initial=initial,
  )
  log_p, acceptance, ess = found.per_example
  errors = np.sqrt((60 / ess.astype(np.float64) - 1) / 60)
  assert np.all(errors < 0.3)
  assert np.all(acceptance > 0.3)
  gaps = log_p - case.log_marginal
  assert np.all(np.abs(gaps) < helpers.SIGMAS * errors + 0.01)
  helpers.assert_mean(gaps + errors**2 / 2, 0)


@pytest.mark.slow
def test_sandwich_of_a_conditional_model_uses_the_conditions(
  key, fixed_step_sizes
):
  """Data with y = 2 only; any other y would have a noise of 3."""
  case = latent_models.conditional_vae()
  model = case.model

  def decode(params, z, y):
    p = model.decode(params, z, y)
    return vj.Normal(p.loc, p.log_scale + jnp.where(y == 2, 0, np.log(5.0)))

  case = case._replace(model=model._replace(decode=decode))
  only = jax.tree.map(lambda leaf: leaf[2::3], case.data)
  assert set(only['y'].tolist()) == {2}
  check_sandwich('conditional_vae', case, key, data=only)


def test_sandwich_of_a_conditional_model_needs_data(key):
  case = latent_models.conditional_vae()
  with pytest.raises(ValueError, match='data: got None'):
    vj.estimate_sandwich(
      key,
      case.model,
      case.params,
      num_examples=2,
      num_chains=2,
      num_temperatures=3,
    )


def test_ais_from_a_posterior_without_inverse_raises(key):
  case = latent_models.no_inverse()
  with pytest.raises(TypeError, match='initial: PlanarFlow has no inverse'):
    vj.estimate_ais(
      key,
      case.model,
      case.params,
      case.data,
      num_chains=2,
      num_temperatures=3,
      initial='posterior',
    )


@pytest.mark.parametrize('name', ['two_layers', 'no_inverse'])
@pytest.mark.slow
def test_gaps_of_other_posteriors(name, key):
  """A short optimisation decreases the gap; log p(x) by 5000 samples."""
  case = latent_models.CASES[name]()
  few = jax.tree.map(lambda leaf: leaf[:4], case.data)
  found = vj.measure_gaps(key, case.model, case.params, few, num_steps=50)
  exact = case.log_marginal[:4].mean()
  assert abs(found.log_marginal.mean - exact) < 0.03
  assert found.amortisation.mean > 0
  assert found.approximation.mean > 0
