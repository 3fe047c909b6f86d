import numpy as np

from experiments.lab import tabular


def test_breast_cancer_is_standardised_with_an_intercept():
  features, labels = tabular.load_breast_cancer()
  assert features.shape == (569, 31)
  np.testing.assert_array_equal(features[:, 0], 1)
  np.testing.assert_allclose(features[:, 1:].mean(axis=0), 0, atol=1e-5)
  np.testing.assert_allclose(features[:, 1:].std(axis=0), 1, rtol=1e-5)
  assert labels.sum() == 357
  assert set(labels) == {0.0, 1.0}
