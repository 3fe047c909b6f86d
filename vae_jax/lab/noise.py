"""Signal and noise of a loss's gradient, parameter group by group."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.objectives import LossFn
from vae_jax.types import Array, Key, Params


class Moments(NamedTuple):
  """Of the draws of a gradient, each a pytree like the parameters.

  Attributes:
    mean: over the draws.
    variance: of one draw.
    num_draws: S.
  """

  mean: Params
  variance: Params
  num_draws: int


class Noise(NamedTuple):
  """What one estimator's gradient is worth in one parameter group.

  Attributes:
    signal: norm of the mean gradient, its own noise taken off.
    noise: root of the summed variance of one gradient.
    signal_to_noise: their ratio.
    bias_z: root mean square, over coordinates, of the difference to the
      reference in standard errors: 1 where there is no bias.
  """

  signal: float
  noise: float
  signal_to_noise: float
  bias_z: float


def gradient_moments(
  key: Key, loss: LossFn, params: Params, batch: Array, num_draws: int
) -> Moments:
  """Draws gradients of `loss(key, params, batch)`, of which none is kept."""

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
  """Compares estimators of one gradient, whose parameters are a dict of groups.

  All but the biased ones share a mean, so that its best estimate, that of the
  quietest among them, is the signal of each.

  Args:
    moments: by estimator.
    reference: of an unbiased estimator, from draws of its own.
    biased: the estimators whose mean is another.

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
  fair = [name for name in moments if name not in biased]
  quietest = min(fair, key=lambda name: squared_noise[name])
  found = {}
  for name, m in moments.items():
    signal = _signal(m if name in biased else moments[quietest])
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
  # A coordinate that never moves, such as a dead pixel's, says nothing.
  there = error > 0
  if not there.any():
    return 0.0
  square = (m.mean - reference.mean)[there] ** 2 / error[there]
  return float(np.mean(square)) ** 0.5
