"""Signal-to-noise ratio of a loss's gradient, per parameter group."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.training.loss import LossFn
from vae_jax.types import Array, Key, Params


class Moments(NamedTuple):
  """Mean and variance of gradient draws, pytrees like the parameters.

  Attributes:
    mean: mean over the draws.
    variance: variance of one draw.
    num_draws: number of draws, S.
  """

  mean: Params
  variance: Params
  num_draws: int


class Noise(NamedTuple):
  """Signal and noise of one estimator's gradient in a parameter group.

  Attributes:
    signal: norm of the mean gradient, corrected for its sampling error.
    noise: square root of the total variance of one gradient.
    signal_to_noise: signal / noise.
    bias_z: root mean square, over coordinates, of the difference to the
      reference in standard errors: 1 for an unbiased estimator.
  """

  signal: float
  noise: float
  signal_to_noise: float
  bias_z: float


def gradient_moments(
  key: Key, loss: LossFn, params: Params, batch: Array, num_draws: int
) -> Moments:
  """Estimates the mean and variance of the gradient of a loss.

  The draws are accumulated by Welford's algorithm and not stored.

  Args:
    key: consumed.
    loss: `loss(key, params, batch) -> (loss, terms)`.
    params: any pytree.
    batch: as `loss` takes it.
    num_draws: number of draws, at least 2.
  """

  def draw(carry: Any, key: Key) -> Any:
    count, mean, scatter = carry
    (_, _), gradient = jax.value_and_grad(loss, 1, has_aux=True)(
      key, params, batch
    )
    # Welford 1962: the squares of large means would cancel in float32.
    step = jax.tree.map(jnp.subtract, gradient, mean)
    mean = jax.tree.map(lambda m, d: m + d / (count + 1), mean, step)
    left = jax.tree.map(jnp.subtract, gradient, mean)
    scatter = jax.tree.map(lambda s, a, b: s + a * b, scatter, step, left)
    return (count + 1, mean, scatter), None

  zeros = jax.tree.map(jnp.zeros_like, params)
  keys = jax.random.split(key, num_draws)
  (_, mean, scatter), _ = jax.lax.scan(draw, (0.0, zeros, zeros), keys)
  variance = jax.tree.map(lambda s: s / (num_draws - 1), scatter)
  return Moments(mean, variance, num_draws)


def compare(
  moments: Mapping[str, Moments], reference: Moments, biased: Sequence[str] = ()
) -> dict[str, dict[str, Noise]]:
  """Compares gradient estimators per parameter group.

  All unbiased estimators have the same mean. Its best estimate, that of the
  least noisy one, is the signal of each of them.

  Args:
    moments: estimator -> its moments, of params that are a dict of groups.
    reference: moments of an unbiased estimator, from independent draws.
    biased: names of the estimators with another mean.

  Returns:
    group -> estimator -> `Noise`.
  """
  return {
    group: _compare_group(
      {name: _group(m, group) for name, m in moments.items()},
      _group(reference, group),
      biased,
    )
    for group in reference.mean
  }


def _group(moments: Moments, group: str) -> Moments:
  """Returns the moments of one group, as float64 vectors."""
  flat = lambda tree: np.concatenate(
    [np.ravel(np.asarray(x, np.float64)) for x in jax.tree.leaves(tree[group])]
  )
  return Moments(flat(moments.mean), flat(moments.variance), moments.num_draws)


def _compare_group(
  moments: Mapping[str, Moments], reference: Moments, biased: Sequence[str]
) -> dict[str, Noise]:
  squared_noise = {name: float(m.variance.sum()) for name, m in moments.items()}
  unbiased = [name for name in moments if name not in biased]
  least_noisy = min(unbiased, key=lambda name: squared_noise[name])
  found = {}
  for name, m in moments.items():
    signal = _signal(m if name in biased else moments[least_noisy])
    noise = squared_noise[name] ** 0.5
    ratio = signal / max(noise, 1e-30)
    found[name] = Noise(signal, noise, ratio, _bias_z(m, reference))
  return found


def _signal(m: Moments) -> float:
  square = np.sum(m.mean**2) - np.sum(m.variance) / m.num_draws
  return float(max(square, 0.0)) ** 0.5


def _bias_z(m: Moments, reference: Moments) -> float:
  error = m.variance / m.num_draws
  error += reference.variance / reference.num_draws
  # Coordinates without variance, such as those of constant pixels, are ignored.
  mask = error > 0
  if not mask.any():
    return 0.0
  square = (m.mean - reference.mean)[mask] ** 2 / error[mask]
  return float(np.mean(square)) ** 0.5
