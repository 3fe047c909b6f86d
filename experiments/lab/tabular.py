"""Data sets of scikit-learn: breast cancer, standardised, and binary digits."""

import numpy as np


def load_breast_cancer() -> tuple[np.ndarray, np.ndarray]:
  """Returns features `[569, 31]` and labels `[569]` in float32.

  Column 0 is one (the intercept). The 30 features have mean 0 and variance 1.
  The label of a benign tumour is 1.

  References:
    Street, Wolberg and Mangasarian 1993, Nuclear feature extraction for breast
    tumor diagnosis.
  """
  from sklearn import datasets

  table = datasets.load_breast_cancer()
  scaled = (table.data - table.data.mean(axis=0)) / table.data.std(axis=0)
  ones = np.ones((len(scaled), 1))
  features = np.concatenate([ones, scaled], axis=1)
  return features.astype(np.float32), table.target.astype(np.float32)


def load_binary_digits(count: int) -> np.ndarray:
  """Returns the first digits, `[count, 8, 8, 1]` float32 of zeros and ones."""
  from sklearn import datasets

  images = datasets.load_digits().images[:count, ..., None]
  return np.round(images / 16).astype(np.float32)
