import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import vae_jax as vj
from tests.helpers import assert_mean
from vae_jax.distributions._numerics import softplus

PROBS = np.array([0.1, 0.5, 0.93])
P = vj.Bernoulli(jnp.log(jnp.array(PROBS / (1 - PROBS))))


def test_log_prob_entropy_and_moments_match_scipy():
  x = np.array([1.0, 0.0, 1.0])
  exact = stats.bernoulli.logpmf(x, PROBS).sum()
  np.testing.assert_allclose(P.log_prob(jnp.array(x)), exact, rtol=1e-5)
  exact = stats.bernoulli.entropy(PROBS).sum()
  np.testing.assert_allclose(P.entropy(), exact, rtol=1e-5)
  np.testing.assert_allclose(P.mean(), PROBS, rtol=1e-6)
  np.testing.assert_allclose(P.variance(), PROBS * (1 - PROBS), rtol=1e-5)


def test_draws_have_the_mean(key):
  draws = jax.jit(jax.vmap(lambda key: P.sample(key)))(
    jax.random.split(key, 20_000)
  )
  assert set(np.unique(draws)) == {0.0, 1.0}
  assert_mean(draws, PROBS)


@pytest.mark.parametrize('shape', [(), (2, 3, 1)])
def test_event_may_have_any_shape(shape):
  q = vj.Bernoulli(np.zeros(shape, np.float32))
  assert q.shape == shape
  assert jax.eval_shape(q.sample, jax.random.key(0)).shape == shape
  both = jax.jit(lambda q, x: (q.log_prob(x), q.entropy()))
  value, entropy = both(q, np.ones(shape, np.float32))
  assert value.shape == entropy.shape == ()
  np.testing.assert_allclose(value, -np.log(2) * np.prod(shape), rtol=1e-6)
  np.testing.assert_allclose(entropy, -value, rtol=1e-6)


_value_and_slope = jax.jit(
  jax.value_and_grad(lambda logit, x: vj.Bernoulli(logit).log_prob(x))
)


@pytest.mark.parametrize('logit', [-1e4, -90.0, 0.0, 90.0, 1e4])
@pytest.mark.parametrize('x', [0.0, 1.0])
def test_value_and_gradient_are_exact_at_any_logit(logit, x):
  value, slope = _value_and_slope(logit, jnp.float32(x))
  exact = -np.logaddexp(0, -logit if x else logit)
  # float32 flushes smaller numbers to 0.
  tiny = float(np.finfo(np.float32).tiny)
  np.testing.assert_allclose(value, exact, rtol=1e-6, atol=tiny)
  exact = float(x - 1 / (1 + np.exp(-np.longdouble(logit))))
  np.testing.assert_allclose(slope, exact, rtol=1e-6, atol=tiny)


def test_entropy_and_its_gradient_vanish_at_a_large_logit():
  entropy = lambda logit: vj.Bernoulli(logit).entropy()
  both = jax.jit(jax.vmap(jax.value_and_grad(entropy)))
  value, slope = both(jnp.array([-1e4, -90.0, 90.0, 1e4]))
  np.testing.assert_allclose(value, 0.0, atol=1e-30)
  np.testing.assert_allclose(slope, 0.0, atol=1e-30)


def test_softplus_matches_jax():
  x = jnp.linspace(-120.0, 120.0, 1001)
  np.testing.assert_allclose(
    softplus(x), jax.nn.softplus(x), rtol=1e-6, atol=1e-37
  )
  np.testing.assert_allclose(
    jax.jit(jax.vmap(jax.grad(softplus)))(x),
    jax.nn.sigmoid(x),
    rtol=1e-6,
    atol=1e-37,
  )


def test_event_of_another_shape_is_refused():
  with pytest.raises(ValueError, match=r'x has shape \(3, 1\)'):
    P.log_prob(jnp.ones((3, 1)))


@pytest.mark.parametrize(
  'x', [*np.float32([0.5, -1.0, 2.0, np.inf]), np.uint8(200), np.int8(-1)]
)
def test_log_prob_is_minus_infinity_off_the_support(x):
  x = np.array([1, x, 0], x.dtype)
  value, slope = jax.value_and_grad(lambda p: p.log_prob(x))(P)
  assert value == -np.inf
  assert np.isfinite(slope.logits).all()


@pytest.mark.parametrize('dtype', [np.uint8, bool, np.int32])
def test_integers_of_the_support_are_scored_like_floats(dtype):
  x = np.array([1, 0, 1])
  np.testing.assert_array_equal(
    P.log_prob(x.astype(dtype)), P.log_prob(x.astype(np.float32))
  )


@jax.jit
def _sure(logit, x):
  p = lambda logit: vj.Bernoulli(logit)
  values = [
    lambda logit: p(logit).log_prob(x),
    lambda logit: p(logit).entropy(),
    lambda logit: vj.kl(p(logit), p(0.5)),
    lambda logit: vj.kl(p(logit), p(logit)),
  ]
  moments = p(logit).mean(), p(logit).variance()
  return [jax.value_and_grad(f)(logit) for f in values], moments


@pytest.mark.parametrize('x', [0.0, 1.0])
@pytest.mark.parametrize('sign', [-1, 1])
def test_infinite_logits_are_a_sure_outcome(sign, x):
  values, moments = _sure(jnp.float32(sign * np.inf), jnp.float32(x))
  sure = 1.0 if sign > 0 else 0.0
  exact = [
    0.0 if x == sure else -np.inf,
    0.0,
    np.logaddexp(0, -0.5 * sign),
    0.0,
  ]
  np.testing.assert_allclose([v for v, _ in values], exact, rtol=1e-6)
  assert not np.isnan([slope for _, slope in values]).any()
  np.testing.assert_array_equal(moments, [sure, 0.0])


def test_log_prob_of_a_likely_one_keeps_its_digits():
  np.testing.assert_allclose(
    vj.Bernoulli(20.0).log_prob(1.0), -np.log1p(np.exp(-20)), rtol=1e-6
  )
