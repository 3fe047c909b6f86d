"""Checks of a model, each failed by a model that is made to break it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from vae_jax.distributions import distribution
from vae_jax.distributions.base import Distribution
from vae_jax.evaluate.check_model import check_model
from vae_jax.types import Array

SIZE = 4
WEIGHTS = jnp.asarray(
  np.random.default_rng(0).normal(size=(2, SIZE)), jnp.float32
)
X = jnp.asarray(np.random.default_rng(1).random((9, SIZE)) < 0.4, jnp.float32)
PARAMS = {'weights': WEIGHTS, 'count': jnp.arange(3)}


def decode(params, z):
  return vj.Bernoulli(jnp.tanh(z) @ params['weights'])


def make_model(decode=decode, encode=None):
  own = lambda params, x: vj.Normal(WEIGHTS @ x, jnp.zeros(2))
  return vj.VAE(
    init=lambda key: PARAMS,
    encode=encode or own,
    decode=decode,
    prior=lambda params: vj.Normal(jnp.zeros(2), 0.0),
  )


def checks(key, model, data=X, **options):
  key = jax.random.clone(key)
  return {c.name: c for c in check_model(key, model, PARAMS, data, **options)}


def test_a_sound_model_passes_every_check(key):
  found = checks(key, make_model(), train=X + 2)
  assert [*found] == [
    *('batch', 'deterministic', 'support', 'gradients', 'normalised'),
    'overlap',
  ]
  assert all(c.passed for c in found.values()), found
  assert 'over all 2^4 values' in found['normalised'].words
  assert str(found['batch']).startswith('batch            passed')


@jax.custom_batching.custom_vmap
def normalise(hidden):
  """Batch normalisation in training mode, which sees the whole batch."""
  return hidden - hidden


@normalise.def_vmap
def _(axis_size, in_batched, hidden):
  del axis_size, in_batched
  centred = hidden - jnp.mean(hidden, axis=0, keepdims=True)
  return centred / jnp.sqrt(jnp.var(hidden, axis=0, keepdims=True) + 1e-3), True


def test_a_decoder_that_normalises_by_the_batch_is_refused(key):
  seen = lambda params, z: vj.Bernoulli(normalise(z @ WEIGHTS))
  found = checks(key, make_model(seen))
  assert not found['batch'].passed
  assert found['batch'].value > 0.01
  assert found['deterministic'].passed
  assert 'nats' in found['batch'].words
  assert 'FAILED' in str(found['batch'])


def test_a_decoder_that_draws_is_refused(key):
  count = []

  def noise(shape):
    count.append(0)
    return np.float32(np.random.default_rng(len(count)).normal(size=shape))

  def seen(params, z):
    shape = jax.ShapeDtypeStruct((), jnp.float32)
    extra = jax.pure_callback(
      lambda z: noise(np.shape(z)[:-1]), shape, z, vmap_method='expand_dims'
    )
    logits = jax.lax.stop_gradient(extra) + z @ WEIGHTS
    return vj.Bernoulli(logits)

  zero = lambda params, z: seen(params, jax.lax.stop_gradient(z))
  assert not checks(key, make_model(zero))['deterministic'].passed


def test_pixels_outside_the_support_are_named(key):
  found = checks(key, make_model(), 255 * X)
  assert not found['support'].passed
  assert found['support'].value > 0.8


def test_gradients_that_are_not_finite_are_named(key):
  def seen(params, z):
    # sqrt has an infinite slope at 0.
    extra = jnp.sqrt(jnp.maximum(0 * params['weights'][0], 0))
    return vj.Bernoulli(z @ params['weights'] + extra)

  found = checks(key, make_model(seen))
  assert not found['gradients'].passed
  assert found['support'].passed


@distribution
class Doubled(Distribution):
  """A Bernoulli distribution whose density is counted twice."""

  logits: Array
  is_discrete = True

  @property
  def shape(self):
    return self.logits.shape

  def draw(self, key):
    return vj.Bernoulli(self.logits).draw(key)

  def log_prob(self, z):
    return vj.Bernoulli(self.logits).log_prob(z) + jnp.log(2.0)

  def mean(self):
    return jax.nn.sigmoid(self.logits)

  def variance(self):
    return self.mean() * (1 - self.mean())


def test_a_density_that_does_not_sum_to_one_is_refused(key):
  doubled = lambda params, z: Doubled(z @ WEIGHTS)
  found = checks(key, make_model(doubled))['normalised']
  assert not found.passed
  assert found.value == pytest.approx(1.0, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize('family', [vj.Bernoulli, Doubled])
def test_many_pixels_are_summed_by_importance(family, key):
  tile = lambda params, z: family(jnp.tile(z @ WEIGHTS, 8))
  encode = lambda params, x: vj.Normal(WEIGHTS @ x[:SIZE], 0.0)
  found = checks(key, make_model(tile, encode), jnp.tile(X, (1, 8)))
  assert found['normalised'].passed == (family is vj.Bernoulli)
  assert 'importance samples' in found['normalised'].words


@pytest.mark.slow
@pytest.mark.parametrize('copies', [1, 8])
def test_continuous_densities_are_integrated(copies, key):
  def model(extra):
    @distribution
    class Shifted(vj.Normal):
      def log_prob(self, z):
        return vj.Normal(self.loc, self.log_scale).log_prob(z) + extra

    return make_model(
      lambda params, z: Shifted(jnp.tile(z @ WEIGHTS, copies), -1.0),
      lambda params, x: vj.Normal(WEIGHTS @ x[:SIZE], 0.0),
    )

  data = jnp.tile(X, (1, copies))
  assert checks(key, model(0.0), data)['normalised'].passed
  assert not checks(key, model(0.1), data)['normalised'].passed


def test_an_unknown_sum_is_undecided(key):
  cauchy = lambda params, z: vj.Cauchy(z @ WEIGHTS, 0.0)
  found = checks(key, make_model(cauchy))['normalised']
  assert found.passed is None
  assert 'undecided' in str(found)


@distribution
class Autoregressive(Distribution):
  """x_i given a sum of other entries: earlier ones, or all of them."""

  logits: Array
  reach: Array
  is_discrete = True

  @property
  def shape(self):
    return self.logits.shape

  def conditionals(self, x):
    logits = self.logits + self.reach @ x
    return x * logits - jnp.logaddexp(0, logits)

  def log_prob(self, z):
    return jnp.sum(self.conditionals(z))


@pytest.mark.quick('2')
@pytest.mark.parametrize('offset', [-1, 0, 2])
def test_only_a_causal_decoder_passes(offset, key):
  reach = jnp.tril(jnp.ones((SIZE, SIZE)), offset)
  model = make_model(lambda params, z: Autoregressive(z @ WEIGHTS, reach))
  found = checks(key, model)
  # x_i given itself has no density either, which the sum tells.
  assert found['normalised'].passed == (offset == -1)
  assert found['causal'].passed == (offset <= 0)


def test_shared_examples_are_counted(key):
  found = checks(key, make_model(), train=jnp.concatenate([X[3:4], 2 + X]))
  assert not found['overlap'].passed
  assert found['overlap'].value == 1


def test_two_batches_need_three_examples(key):
  with pytest.raises(ValueError, match='data has 2 examples'):
    check_model(key, make_model(), PARAMS, X[:2])
  found = check_model(jax.random.key(1), make_model(), PARAMS, X[:3])
  assert all(check.passed for check in found)
