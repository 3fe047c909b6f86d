"""A network may give any number: bounds and their gradients stay finite."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from vae_jax import latents, likelihoods, objectives, optimizer

SHAPE = (3, 2, 1)
PIXELS = jnp.asarray(np.linspace(0, 1, 6).reshape(SHAPE).round(), jnp.float32)
FAMILIES = [
  *((name, 'bernoulli') for name in latents.POSTERIORS if name != 'bernoulli'),
  *(('normal', name) for name in likelihoods.LIKELIHOODS),
]


EXTREMES = [
  *((('log_scale', 'scale_tril'), value) for value in (-100.0, 100.0)),
  *((('output',), value) for value in (-1e4, 1e4)),
  *((('loc',), value) for value in (-1e4, 1e4)),
  # Both networks at once, as where a run has gone astray.
  (('loc', 'output'), 1e4),
]


def model(posterior, likelihood):
  config = vj.Config(
    posterior=posterior,
    likelihood=likelihood,
    latent_dim=2,
    hidden_sizes=(4,),
    batch_size=2,
  )
  return config, vj.make_vae(config, SHAPE)


def params_at(vae, parts, value):
  """Parameters with which the networks give `value` in some outputs."""
  params = vae.init(jax.random.key(0))
  encoder, decoder = params['encoder'], params['decoder']
  for name in set(parts) & set(encoder):
    encoder[name]['bias'] = jnp.full_like(encoder[name]['bias'], value)
  if 'output' in parts:
    bias = decoder['output']['bias']
    decoder['output']['bias'] = jnp.full_like(bias, value)
  if 'log_scale' in parts and 'log_scale' in decoder:
    decoder['log_scale'] = jnp.float32(value)
  return params


@pytest.mark.parametrize(('posterior', 'likelihood'), FAMILIES)
def test_the_loss_and_its_gradient_are_finite(posterior, likelihood):
  config, vae = model(posterior, likelihood)
  batch = jnp.stack([PIXELS, 1 - PIXELS])
  gradient = jax.jit(
    jax.value_and_grad(
      objectives.make_loss(config, vae), argnums=1, has_aux=True
    )
  )
  for parts, value in EXTREMES:
    params = params_at(vae, parts, value)
    (found, terms), grads = gradient(jax.random.key(0), params, batch)
    norm = optimizer.global_norm(grads)
    for x in jax.tree.leaves((found, terms, grads, norm)):
      assert np.all(np.isfinite(x)), (parts, value)


@pytest.mark.parametrize('value', [-100.0, 100.0])
def test_a_log_scale_beyond_its_bound_comes_back(value):
  """The gradient leads towards what the bound wants, not nowhere."""
  config, vae = model('normal', 'bernoulli')
  params = params_at(vae, ('log_scale',), value)
  loss = objectives.make_loss(config, vae)

  def cost(params):
    return loss(jax.random.key(0), params, PIXELS[None])[0]

  slope = jax.grad(cost)(params)['encoder']['log_scale']['bias']
  assert np.all(np.sign(slope) == np.sign(value))


@pytest.mark.parametrize(
  'family', [vj.Normal, vj.Laplace, vj.Logistic, vj.Cauchy, vj.Gumbel]
)
def test_a_density_at_its_own_location_outlasts_its_scale(family):
  zero = jnp.zeros(())
  standard = family(zero, zero).log_prob(zero)
  for log_scale in (-100.0, 100.0):
    q = family(zero, jnp.float32(log_scale))
    np.testing.assert_allclose(q.log_prob(zero), standard - log_scale)
    slope = jax.grad(lambda s, f=family: f(zero, s).log_prob(zero))
    np.testing.assert_allclose(slope(log_scale), -1.0)
