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


def test_log_prob_and_entropy_are_scipys():
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
def test_an_event_may_have_any_shape(shape):
  logits = np.random.default_rng(0).normal(size=(*shape, 5))
  q, labels = vd.Categorical(jnp.array(logits)), np.full(shape, 3)
  assert q.shape == shape
  draw = jax.eval_shape(q.sample, jax.random.key(0))
  assert draw.shape == shape
  assert jnp.issubdtype(draw.dtype, jnp.integer)
  value = q.log_prob(jnp.array(labels))
  assert value.shape == q.entropy().shape == ()
  exact = special.log_softmax(logits, axis=-1)[..., 3].sum()
  np.testing.assert_allclose(value, exact, rtol=1e-5)


@pytest.mark.parametrize('label', [-1, 4])
def test_a_label_that_there_is_not_has_no_probability(label):
  value, slope = jax.value_and_grad(
    lambda logits: vd.Categorical(logits).log_prob(jnp.array([0, label]))
  )(Q.logits)
  assert np.isneginf(value)
  assert np.isfinite(slope).all()


def test_draws_have_the_probabilities(key):
  draws = jax.vmap(Q.sample)(jax.random.split(key, 20_000))
  assert_mean(np.eye(4)[np.asarray(draws)], PROBABILITIES)


@pytest.mark.parametrize('logit', [-90.0, 90.0, -np.inf])
def test_values_and_gradients_are_finite_at_any_logit(logit):
  logits = jnp.array([logit, 0.0, 1.0])
  for f in [
    lambda logits: vd.Categorical(logits).entropy(),
    lambda logits: vd.Categorical(logits).log_prob(jnp.array(1)),
  ]:
    value, slope = jax.value_and_grad(f)(logits)
    assert np.isfinite(value)
    assert np.isfinite(slope).all()


def test_a_label_without_mass_is_as_if_it_were_not_there():
  logits = jnp.array([0.3, -jnp.inf, 1.0])
  q, without = vd.Categorical(logits), vd.Categorical(logits[::2])
  np.testing.assert_allclose(q.entropy(), without.entropy(), rtol=1e-6)
  assert np.isneginf(q.log_prob(jnp.array(1)))
  slope = jax.grad(lambda q: q.entropy())
  np.testing.assert_allclose(
    slope(q).logits[::2], slope(without).logits, rtol=1e-5
  )
  assert slope(q).logits[1] == 0.0


def test_labels_have_neither_mean_nor_variance():
  with pytest.raises(TypeError, match='Categorical has no mean'):
    Q.mean()
  with pytest.raises(TypeError, match='Categorical has no closed-form varianc'):
    Q.variance()


def test_an_event_of_another_shape_is_named():
  with pytest.raises(ValueError, match=r'z has shape \(4,\)'):
    Q.log_prob(jnp.zeros(4, int))
