"""Bounds and gradients stay finite whatever the networks return."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from vae_jax.models import LIKELIHOODS, POSTERIORS
from vae_jax.models.make import make_vae
from vae_jax.models.straight_through import clip_straight_through
from vae_jax.training import optimizer

SHAPE = (3, 2, 1)
PIXELS = jnp.asarray(np.linspace(0, 1, 6).reshape(SHAPE).round(), jnp.float32)
DISCRETE = ('bernoulli', 'categorical')
FAMILIES = [
  *((name, 'bernoulli') for name in POSTERIORS if name not in DISCRETE),
  *(('normal', name) for name in LIKELIHOODS if name != 'bernoulli'),
]
EXTREMES = [
  *((('log_scale', 'scale_tril'), value) for value in (-100.0, 100.0)),
  *((('output',), value) for value in (-1e4, 1e4)),
  *((('loc',), value) for value in (-1e4, 1e4)),
  # Both networks at once, as in a run that has diverged.
  (('loc', 'output'), 1e4),
]


def model(posterior, likelihood):
  return make_vae(
    data_shape=SHAPE,
    posterior=posterior,
    likelihood=likelihood,
    latent_dim=2,
    hidden_sizes=(4,),
  )


def params_at(params, parts, value):
  """Parameters with which the networks return `value` in some outputs."""
  params = jax.tree.map(lambda x: x, params)  # Copies the dicts.
  encoder, decoder = params['encoder'], params['decoder']
  for name in set(parts) & set(encoder):
    encoder[name]['bias'] = np.full_like(encoder[name]['bias'], value)
  if 'output' in parts:
    bias = decoder['output']['bias']
    decoder['output']['bias'] = np.full_like(bias, value)
  if 'log_scale' in parts and 'log_scale' in decoder:
    decoder['log_scale'] = np.float32(value)
  return params


@pytest.mark.slow
@pytest.mark.parametrize(('posterior', 'likelihood'), FAMILIES)
def test_loss_and_gradient_are_finite_at_extreme_outputs(posterior, likelihood):
  vae = model(posterior, likelihood)
  batch = jnp.stack([PIXELS, 1 - PIXELS])

  def everything(params):
    gradient = jax.value_and_grad(vj.make_loss(vae), argnums=1, has_aux=True)
    (loss, terms), grads = gradient(jax.random.key(0), params, batch)
    return loss, terms, grads, optimizer.global_norm(grads)

  # One compiled program and one call for every extreme.
  params = jax.jit(vae.init)(jax.random.key(0))
  cases = [params_at(params, parts, value) for parts, value in EXTREMES]
  stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *cases)
  found = jax.jit(lambda params: jax.lax.map(everything, params))(stacked)
  for x in jax.tree.leaves(found):
    finite = np.isfinite(x).reshape(len(EXTREMES), -1).all(axis=1)
    assert finite.all(), EXTREMES[int(np.argmin(finite))]


@pytest.mark.quick('100.0')
@pytest.mark.parametrize('value', [-100.0, 100.0])
def test_gradient_pulls_a_clipped_log_scale_back(value):
  """The sign of the gradient is that of the excess; it is not 0."""
  vae = model('normal', 'bernoulli')
  params = jax.jit(vae.init)(jax.random.key(0))
  params = params_at(params, ('log_scale',), value)
  loss = vj.make_loss(vae)
  cost = lambda params: loss(jax.random.key(0), params, PIXELS[None])[0]
  slope = jax.jit(jax.grad(cost))(params)['encoder']['log_scale']['bias']
  assert np.all(np.sign(slope) == np.sign(value))


def test_clip_is_straight_through():
  x = jnp.array([-100.0, -20.0, 0.5, 20.0, 100.0])
  np.testing.assert_array_equal(
    clip_straight_through(x), [-20.0, -20.0, 0.5, 20.0, 20.0]
  )
  slope = jax.grad(lambda x: jnp.sum(3 * clip_straight_through(x)))(x)
  np.testing.assert_array_equal(slope, 3.0)


@pytest.mark.quick('Normal')
@pytest.mark.parametrize(
  'family', [vj.Normal, vj.Laplace, vj.Logistic, vj.Cauchy, vj.Gumbel]
)
def test_density_at_the_location_is_finite_at_extreme_scales(family):
  zero = jnp.zeros(())
  standard = family(zero, zero).log_prob(zero)
  for log_scale in (-100.0, 100.0):
    q = family(zero, jnp.float32(log_scale))
    np.testing.assert_allclose(q.log_prob(zero), standard - log_scale)
    slope = jax.grad(lambda s, f=family: f(zero, s).log_prob(zero))
    np.testing.assert_allclose(slope(log_scale), -1.0)
