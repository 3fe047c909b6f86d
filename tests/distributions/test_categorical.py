import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

import vae_jax.distributions as vd
from tests.helpers import assert_mean

LOGITS = np.array([[0.3, -1.0, 2.0, 0.0], [5.0, 5.0, -3.0, 1.0]])
PROBABILITIES = special.softmax(LOGITS, axis=-1)
Q = vd.Categorical(jnp.array(LOGITS))


def test_log_prob_and_entropy_match_scipy():
  for labels in [(0, 3), (2, 1), (3, 2)]:
    exact = stats.multinomial.logpmf(
      np.eye(4)[list(labels)], 1, PROBABILITIES
    ).sum()
    value = Q.log_prob(jnp.array(labels))
    assert value.shape == ()
    np.testing.assert_allclose(value, exact, rtol=1e-5)
  exact = stats.entropy(PROBABILITIES, axis=-1).sum()
  np.testing.assert_allclose(Q.entropy(), exact, rtol=1e-5)


@pytest.mark.parametrize('shape', [(), (2, 3)])
def test_event_may_have_any_shape(shape):
  logits = np.random.default_rng(0).normal(size=(*shape, 5))
  q, labels = vd.Categorical(jnp.array(logits)), np.full(shape, 3)
  assert q.shape == shape
  draw = jax.eval_shape(q.sample, jax.random.key(0))
  assert draw.shape == shape
  assert jnp.issubdtype(draw.dtype, jnp.integer)
  value = jax.jit(lambda q, z: q.log_prob(z))(q, jnp.array(labels))
  assert value.shape == jax.eval_shape(q.entropy).shape == ()
  exact = special.log_softmax(logits, axis=-1)[..., 3].sum()
  np.testing.assert_allclose(value, exact, rtol=1e-5)


_label_log_prob = jax.jit(
  jax.value_and_grad(lambda logits, z: vd.Categorical(logits).log_prob(z))
)


@pytest.mark.parametrize('label', [-1, 4])
def test_log_prob_of_an_invalid_label_is_minus_infinity(label):
  value, slope = _label_log_prob(Q.logits, jnp.array([0, label]))
  assert np.isneginf(value)
  assert np.isfinite(slope).all()


def test_draws_have_the_category_probabilities(key):
  draws = jax.jit(jax.vmap(lambda key: Q.sample(key)))(
    jax.random.split(key, 20_000)
  )
  assert_mean(np.eye(4)[np.asarray(draws)], PROBABILITIES)


@jax.jit
def _entropy_and_log_prob(logits):
  """Returns both and their gradients."""
  entropy = lambda logits: vd.Categorical(logits).entropy()
  log_prob = lambda logits: vd.Categorical(logits).log_prob(jnp.array(1))
  return [jax.value_and_grad(f)(logits) for f in (entropy, log_prob)]


@pytest.mark.parametrize('logit', [-90.0, 90.0, -np.inf])
def test_values_and_gradients_are_finite_at_any_logit(logit):
  logits = jnp.array([logit, 0.0, 1.0])
  found = _entropy_and_log_prob(logits)
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(found))


def test_labels_without_mass_do_not_change_the_entropy():
  logits = jnp.array([0.3, -jnp.inf, 1.0])
  q, without = vd.Categorical(logits), vd.Categorical(logits[::2])
  entropy = jax.jit(jax.value_and_grad(lambda q: q.entropy()))
  (value, slope), (exact, exact_slope) = entropy(q), entropy(without)
  np.testing.assert_allclose(value, exact, rtol=1e-6)
  assert np.isneginf(q.log_prob(jnp.array(1)))
  np.testing.assert_allclose(slope.logits[::2], exact_slope.logits, rtol=1e-5)
  assert slope.logits[1] == 0.0


def test_mean_and_variance_are_refused():
  with pytest.raises(TypeError, match='Categorical has no mean'):
    Q.mean()
  with pytest.raises(TypeError, match='Categorical has no variance'):
    Q.variance()


def test_event_of_another_shape_is_refused():
  with pytest.raises(ValueError, match=r'z has shape \(4,\)'):
    Q.log_prob(jnp.zeros(4, int))


@pytest.mark.parametrize('label', [1.9, 0.5, -0.5, np.inf])
def test_log_prob_of_a_number_between_labels_is_minus_infinity(label):
  value, slope = _label_log_prob(Q.logits, jnp.array([0, label]))
  assert np.isneginf(value)
  assert np.isfinite(slope).all()


@pytest.mark.parametrize('dtype', [np.uint8, np.int8, np.float32])
def test_labels_of_any_dtype_are_compared_without_wrapping(dtype):
  logits = np.linspace(-1, 1, 300).astype(np.float32)
  value = vd.Categorical(logits).log_prob(np.array(100, dtype))
  exact = special.log_softmax(logits.astype(float))[100]
  np.testing.assert_allclose(value, exact, rtol=1e-6)
  q = vd.Categorical(np.zeros(4, np.float32))
  assert q.log_prob(np.array(-3).astype(dtype)) == -np.inf
