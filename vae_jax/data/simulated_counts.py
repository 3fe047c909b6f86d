"""Synthetic dataset of counts from a one-dimensional latent variable.

log p(x) is an integral over one dimension, which Gauss-Hermite quadrature
computes to rounding. Estimates can be compared with it.
"""

from collections.abc import Mapping

import numpy as np

from vae_jax.data.split import Split

_NUM_TRAIN, _NUM_TEST = 6000, 1000
_NUM_NODES = 64


def true_log_rates() -> tuple[np.ndarray, np.ndarray]:
  """Returns a and b of x_j ~ Poisson(exp(a_j + b_j z)), z ~ N(0, 1), `[8]`."""
  return np.linspace(-0.5, 1.5, 8), np.array(
    [0.6, -0.5, 0.4, -0.3, 0.3, -0.4, 0.5, 0.2]
  )


def read_simulated_counts() -> Mapping[str, Split]:
  """Draws 6,000 training and 1,000 test vectors with a fixed seed."""
  # NumPy guarantees the stream of RandomState, but not that of default_rng.
  random = np.random.RandomState(0)
  a, b = true_log_rates()
  z = random.standard_normal((_NUM_TRAIN + _NUM_TEST, 1))
  x = random.poisson(np.exp(a + b * z)).astype(np.int32)
  return {
    'train': Split(x[:_NUM_TRAIN], None),
    'test': Split(x[_NUM_TRAIN:], None),
  }


def log_marginal(
  x: np.ndarray,
  a: np.ndarray,
  b: np.ndarray,
  *,
  num_nodes: int = _NUM_NODES,
) -> np.ndarray:
  """Computes log p(x) of x_j ~ Poisson(exp(a_j + b_j z)), z ~ N(0, 1).

  p(x) = int N(z; 0, 1) prod_j p(x_j | z) dz, by Gauss-Hermite quadrature.

  Args:
    x: counts, `[N, D]`.
    a: log-rates at z = 0, `[D]`.
    b: slopes of the log-rates, `[D]`.
    num_nodes: nodes of the quadrature.

  Returns:
    `[N]`, in nats, float64.
  """
  z, weights = np.polynomial.hermite_e.hermegauss(num_nodes)
  log_rates = np.asarray(a, float) + np.asarray(b, float) * z[:, None]
  x = np.asarray(x, float)
  log_p = x @ log_rates.T - np.exp(log_rates).sum(axis=1)
  log_p += np.log(weights / np.sqrt(2 * np.pi))
  most = log_p.max(axis=1, keepdims=True)
  total = most[:, 0] + np.log(np.exp(log_p - most).sum(axis=1))
  return total - _log_factorials(x).sum(axis=1)


def _log_factorials(x: np.ndarray) -> np.ndarray:
  """Returns log x! of whole numbers."""
  table = np.cumsum(np.log(np.maximum(np.arange(int(x.max()) + 1), 1)))
  return table[x.astype(int)]
