"""Signal-to-noise ratio of importance-weighted gradients against K.

The model of Rainforth et al. 2018, section 4: z ~ N(mu, I), x|z ~ N(z, I),
q(z|x) = N(A x + b, 2/3 I), with 20 dimensions and 1024 examples per gradient.
The parameters are near the optimum A = I/2, b = mu/2.
"""

import math
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.lab.config import GradientVarianceConfig
from vae_jax import plots
from vae_jax.distributions import (
  Distribution,
  Normal,
  reparameterise_many,
)
from vae_jax.models.vae import VAE
from vae_jax.runs.save_figure import save_figure
from vae_jax.training.gradient_noise import Moments, compare, gradient_moments
from vae_jax.training.loss import LossFn, make_loss
from vae_jax.types import Array, Key, LogDensity, Params

_DIM, _OFFSET = 20, 0.01
NUM_EXAMPLES = 1024
# (K, number of gradients drawn): fewer for large K, where noise is lower.
SWEEP = (
  (1, 200),
  (10, 60),
  (100, 30),
  (300, 12),
  (1000, 8),
)
# The rates are asymptotic in K; smaller K are not used in the fit.
_ASYMPTOTIC = 100
SUITE = 'signal_to_noise'
BIASED = 'stl, biased'
ESTIMATORS = ('pathwise', 'dreg', BIASED)
# (group, estimator) -> exponent of K in the SNR, for large K.
RATES = {
  ('decoder', 'pathwise'): 0.5,
  ('encoder', 'pathwise'): -0.5,
  ('encoder', 'dreg'): 0.5,
}

Draws = Callable[[Key], Moments]


class Point(NamedTuple):
  """Signal and noise of one estimator at one K, in one parameter group.

  Attributes:
    suite: as in `Record`.
    group: 'encoder' or 'decoder'.
    estimator: name of the estimator.
    num_samples: K.
    signal: as in `Noise`, for the gradient of the whole batch.
    noise: as in `Noise`.
    signal_to_noise: as in `Noise`.
    bias_z: as in `Noise`, against independent pathwise gradients.
  """

  suite: str
  group: str
  estimator: str
  num_samples: int
  signal: float
  noise: float
  signal_to_noise: float
  bias_z: float


def model() -> VAE:
  """Returns the VAE with parameter groups 'encoder' (A, b), 'decoder' (mu)."""
  scale = 0.5 * math.log(2 / 3)

  def encode(params: Params, x: Array) -> Normal:
    phi = params['encoder']
    return Normal(phi['A'] @ x + phi['b'], scale)

  return VAE(
    init=lambda key: perturbed(key, jnp.zeros(_DIM)),
    encode=encode,
    decode=lambda params, z: Normal(z, 0.0),
    prior=lambda params: Normal(params['decoder']['mu'], 0.0),
  )


def draw_data(key: Key, num_examples: int) -> Array:
  """Draws the examples, `[num_examples, 20]`."""
  mu_key, x_key = jax.random.split(key)
  mu = jax.random.normal(mu_key, (_DIM,))
  # x = z + noise, each with variance 1.
  return mu[None] + math.sqrt(2) * jax.random.normal(
    x_key, (num_examples, _DIM)
  )


def perturbed(key: Key, mu: Array) -> Params:
  """Returns the optimal parameters for mean mu, plus a small perturbation."""
  mu_key, a_key, b_key = jax.random.split(key, 3)
  move = lambda key, x: x + _OFFSET * jax.random.normal(key, x.shape)
  encoder = {'A': move(a_key, jnp.eye(_DIM) / 2), 'b': move(b_key, mu / 2)}
  return {'encoder': encoder, 'decoder': {'mu': move(mu_key, mu)}}


def biased_stl(
  key: Key, q: Distribution, log_joint: LogDensity, num_samples: int
) -> Array:
  """Returns the importance-weighted bound with stop-gradient inside log q.

  Its gradient is unbiased for K = 1 (STL) and biased for K > 1. Therefore
  `iw_elbo` raises for STL with K > 1.
  """
  z = reparameterise_many(key, q, num_samples)
  stopped = jax.lax.stop_gradient(q)
  log_w = jax.vmap(lambda z: log_joint(z) - stopped.log_prob(z))(z)
  return jax.nn.logsumexp(log_w) - math.log(num_samples)


def loss_of(vae: VAE, estimator: str, num_samples: int) -> LossFn:
  """Returns the loss of the importance-weighted bound for one estimator."""
  if estimator != BIASED:
    return make_loss(
      vae, objective='iwae', estimator=estimator, num_samples=num_samples
    )

  def one(key: Key, params: Params, x: Array) -> Array:
    inference = vae.condition(params, x)
    q, log_joint = inference.posterior, inference.log_joint
    return biased_stl(key, q, log_joint, num_samples)

  def loss(key: Key, params: Params, batch: Array) -> tuple[Array, Any]:
    keys = jax.random.split(key, len(batch))
    return -jnp.mean(jax.vmap(one, (0, None, 0))(keys, params, batch)), {}

  return loss


def sweep(
  key: Key, grid: Sequence[tuple[int, int]], num_examples: int
) -> list[Point]:
  """Measures every estimator at each K of the grid, on the same data.

  Args:
    key: consumed.
    grid: pairs of K and the number of gradients to draw.
    num_examples: examples per gradient.
  """
  data_key, params_key, run_key = jax.random.split(key, 3)
  vae, batch = model(), draw_data(data_key, num_examples)
  params = perturbed(params_key, jnp.mean(batch, axis=0))

  def draws(estimator: str, num_samples: int, num_draws: int) -> Draws:
    loss = loss_of(vae, estimator, num_samples)
    return jax.jit(
      lambda key: gradient_moments(key, loss, params, batch, num_draws)
    )

  points = []
  for k, num_draws in grid:
    noise_key, reference_key = jax.random.split(jax.random.fold_in(run_key, k))
    draw = {name: draws(name, k, num_draws) for name in ESTIMATORS}
    reference = draw['pathwise'](reference_key)
    found = {
      name: run(jax.random.clone(noise_key)) for name, run in draw.items()
    }
    groups = compare(found, reference, (BIASED,))
    points += [
      Point(SUITE, 'encoder', name, k, *noise)
      for name, noise in groups['encoder'].items()
    ]
    # The estimators differ in the gradient of the encoder only.
    points.append(
      Point(SUITE, 'decoder', 'pathwise', k, *groups['decoder']['pathwise'])
    )
  return points


def slopes(points: Sequence[Point]) -> dict[tuple[str, str], float]:
  """Returns the least-squares slopes of log SNR in log K.

  A slope is nan if fewer than two signals are distinguishable from noise.
  """
  return {rate: _slope(points, *rate) for rate in RATES}


def _slope(points: Sequence[Point], group: str, estimator: str) -> float:
  logs = [
    (math.log(p.num_samples), math.log(p.signal_to_noise))
    for p in points
    if (p.group, p.estimator) == (group, estimator)
    and p.num_samples >= _ASYMPTOTIC
    and p.signal_to_noise > 0
  ]
  if len(logs) < 2:
    return math.nan
  log_k, log_snr = np.array(logs).T
  return float(np.polyfit(log_k, log_snr, 1)[0])


def table(points: Sequence[Point]) -> str:
  """Formats the points as aligned columns, followed by the slopes."""
  header = (
    f'{"group":<10}{"estimator":<14}{"K":>6}{"|mean|":>12}{"noise":>12}'
    f'{"SNR":>10}{"bias, rms z":>13}'
  )
  lines = [header, '-' * len(header)]
  for p in sorted(points, key=lambda p: (p.group, p.estimator, p.num_samples)):
    lines.append(
      f'{p.group:<10}{p.estimator:<14}{p.num_samples:>6}{p.signal:>12.4g}'
      f'{p.noise:>12.4g}{p.signal_to_noise:>10.4g}{p.bias_z:>13.2f}'
    )
  lines.append('')
  for (group, estimator), slope in slopes(points).items():
    lines.append(
      f'slope of log SNR in log K, K >= {_ASYMPTOTIC}, {group}, {estimator}: '
      f'{slope:+.3f} (theory {RATES[group, estimator]:+.1f})'
    )
  return '\n'.join(lines)


def suite(
  key: Key, config: GradientVarianceConfig, folder: pathlib.Path
) -> tuple[list[Any], list[pathlib.Path]]:
  """Runs the sweep, prints a table and draws SNR against K."""
  del config
  points = sweep(key, SWEEP, NUM_EXAMPLES)
  print(
    f'\nSignal-to-noise ratio against K, {NUM_EXAMPLES} examples per gradient'
  )
  print(table(points), flush=True)
  title = 'Gradient of the importance-weighted bound, {} parameters'
  figures = plots.signal_to_noise(title, points)
  return list(points), [
    save_figure(folder / f'{SUITE}_{group}.png', figure)
    for group, figure in figures.items()
  ]
