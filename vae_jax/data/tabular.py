"""Tables of numbers that come with scikit-learn."""

import numpy as np


def load_breast_cancer() -> tuple[np.ndarray, np.ndarray]:
  """Returns the 569 tumours: features `[569, 31]` and labels `[569]`, float32.

  The 30 features have mean 0 and variance 1, a column of ones comes first;
  a label is 1 for a benign tumour.

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
