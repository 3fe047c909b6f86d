import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax import evaluate
from vae_jax.evaluate import Estimate, estimate_mean


def test_mean_and_standard_error():
  found = estimate_mean(np.array([1.0, 2.0, 3.0], np.float32))
  assert found.mean == 2.0
  np.testing.assert_allclose(found.standard_error, 1 / np.sqrt(3))
  assert isinstance(found.standard_error, float)


def test_mean_per_column():
  found = estimate_mean(np.array([[1.0, 0.0], [2.0, 4.0], [3.0, 8.0]]))
  np.testing.assert_allclose(found.mean, [2, 4])
  np.testing.assert_allclose(found.standard_error, [3**-0.5, 4 * 3**-0.5])


def test_mean_is_computed_in_float64():
  values = np.array([1e8, 1.0, 1.0, 1.0], np.float32)
  assert estimate_mean(values).mean == (1e8 + 3) / 4


def test_standard_error_of_one_value_is_nan():
  for estimate in (estimate_mean, jax.jit(estimate_mean)):
    found = estimate(jnp.array([2.0]))
    assert found.mean == 2
    assert np.isnan(found.standard_error)


def test_traced_values_give_the_same_estimate():
  values = np.random.RandomState(0).normal(size=(3, 5)).astype(np.float32)
  found = jax.vmap(estimate_mean)(values)
  for i in range(3):
    np.testing.assert_allclose(
      [found.mean[i], found.standard_error[i]],
      estimate_mean(values[i]),
      rtol=1e-5,
    )


def test_a_scalar_has_no_mean_over_examples():
  with pytest.raises(AssertionError, match='rank'):
    estimate_mean(jnp.ones(()))


def test_evaluation_keys_differ_and_are_equal_in_every_run():
  first, second = evaluate.evaluation_keys(), evaluate.evaluation_keys()
  for a, b in zip(first, second, strict=True):
    np.testing.assert_array_equal(
      jax.random.key_data(a), jax.random.key_data(b)
    )
  data = jax.random.key_data(jnp.stack(first))
  assert len(np.unique(data, axis=0)) == len(first)
  # Logged metrics of different runs stay comparable.
  assert first._fields[:3] == ('binarise', 'elbo', 'nll')


def test_an_estimate_is_a_pair():
  mean, error = Estimate(1.0, 0.5)
  assert (mean, error) == (1.0, 0.5)
