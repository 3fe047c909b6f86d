"""Signal-to-noise of the importance-weighted gradients against K.

The model of Rainforth et al. 2018, section 4: z ~ N(mu, I), x|z ~ N(z, I),
q(z|x) = N(A x + b, 2/3 I), 20 numbers each and 1024 examples a gradient, the
parameters a little off their optimum A = I/2, b = mu/2.
"""

import math
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax import plots
from vae_jax.config import Config, GradientVarianceConfig
from vae_jax.distributions import Normal, reparameterise_many
from vae_jax.lab.noise import Moments, compare, gradient_moments
from vae_jax.model import VAE
from vae_jax.objectives import LossFn, make_loss, vae_bound
from vae_jax.types import Array, Key, LogDensity, Params

_DIM, _OFFSET = 20, 0.01
NUM_EXAMPLES = 1024
# K, and the gradients drawn of it: few will do where each is a mean of many.
SWEEP = (
  (1, 200),
  (10, 60),
  (100, 30),
  (300, 12),
  (1000, 8),
)
# The laws are of many draws; below this the weights are too uneven.
_ASYMPTOTIC = 100
SUITE = 'signal_to_noise'
BIASED = 'stl, biased'
ESTIMATORS = ('pathwise', 'dreg', BIASED)
# (group, estimator) -> the slope of log SNR in log K.
LAWS = {
  ('decoder', 'pathwise'): 0.5,
  ('encoder', 'pathwise'): -0.5,
  ('encoder', 'dreg'): 0.5,
}

Draws = Callable[[Key], Moments]


class Point(NamedTuple):
  """The gradient of one estimator at one K, in one parameter group.

  Attributes:
    suite: as in `Record`.
    group: 'encoder' or 'decoder'.
    estimator: its name.
    num_samples: K.
    signal: as in `Noise`, like all that follow.
    noise: of a gradient over the whole batch.
    signal_to_noise: their ratio.
    bias_z: against other draws of the plain gradient.
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
  """Returns the model as a VAE, its groups 'encoder' (A, b), 'decoder' (mu)."""
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
  # x = z + noise, of variance 1 each.
  return mu[None] + math.sqrt(2) * jax.random.normal(
    x_key, (num_examples, _DIM)
  )


def perturbed(key: Key, mu: Array) -> Params:
  """Returns the best parameters for the mean mu, each moved a little."""
  mu_key, a_key, b_key = jax.random.split(key, 3)
  move = lambda key, x: x + _OFFSET * jax.random.normal(key, x.shape)
  encoder = {'A': move(a_key, jnp.eye(_DIM) / 2), 'b': move(b_key, mu / 2)}
  return {'encoder': encoder, 'decoder': {'mu': move(mu_key, mu)}}


def biased_stl(
  key: Key, q: Normal, log_joint: LogDensity, num_samples: int
) -> Array:
  """The importance-weighted bound, phi held in log q and nothing done for it.

  Right for K = 1, biased beyond: what `iw_elbo` refuses.
  """
  z = reparameterise_many(key, q, num_samples)
  held = jax.lax.stop_gradient(q)
  log_w = jax.vmap(lambda z: log_joint(z) - held.log_prob(z))(z)
  return jax.nn.logsumexp(log_w) - math.log(num_samples)


def loss_of(vae: VAE, estimator: str, num_samples: int) -> LossFn:
  """Returns the loss of the importance-weighted bound by one estimator."""
  if estimator != BIASED:
    config = Config(
      objective='iwae', estimator=estimator, num_samples=num_samples
    )
    return make_loss(config, vae)

  def one(key: Key, params: Params, x: Array) -> Array:
    return vae_bound(biased_stl, vae, key, params, x, num_samples=num_samples)

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
    num_examples: in each gradient.
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
    noise_key, other_key = jax.random.split(jax.random.fold_in(run_key, k))
    draw = {name: draws(name, k, num_draws) for name in ESTIMATORS}
    reference = draw['pathwise'](other_key)
    found = {
      name: run(jax.random.clone(noise_key)) for name, run in draw.items()
    }
    groups = compare(found, reference, (BIASED,))
    points += [
      Point(SUITE, 'encoder', name, k, *noise)
      for name, noise in groups['encoder'].items()
    ]
    # The same for all of them: they differ in the encoder alone.
    points.append(
      Point(SUITE, 'decoder', 'pathwise', k, *groups['decoder']['pathwise'])
    )
  return points


def slopes(points: Sequence[Point]) -> dict[tuple[str, str], float]:
  """Returns the least-squares slope of log SNR in log K of each law.

  nan where the draws tell fewer than two signals from noise.
  """
  return {law: _slope(points, *law) for law in LAWS}


def _slope(points: Sequence[Point], group: str, estimator: str) -> float:
  there = [
    (math.log(p.num_samples), math.log(p.signal_to_noise))
    for p in points
    if (p.group, p.estimator) == (group, estimator)
    and p.num_samples >= _ASYMPTOTIC
    and p.signal_to_noise > 0
  ]
  if len(there) < 2:
    return math.nan
  log_k, log_snr = np.array(there).T
  return float(np.polyfit(log_k, log_snr, 1)[0])


def table(points: Sequence[Point]) -> str:
  """Returns the points as aligned columns, and the slopes beneath."""
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
    law = LAWS[group, estimator]
    lines.append(
      f'slope of log SNR in log K, K >= {_ASYMPTOTIC}, {group}, {estimator}: '
      f'{slope:+.3f} (in theory {law:+.1f})'
    )
  return '\n'.join(lines)


def draw_groups(
  folder: pathlib.Path, prefix: str, title: str, points: Sequence[Any]
) -> list[pathlib.Path]:
  """Draws SNR against K, a figure a parameter group; returns the paths.

  Args:
    folder: of the figures.
    prefix: of their names.
    title: of each, `{}` standing for the group.
    points: with `group`, `estimator`, `num_samples` and `signal_to_noise`.
  """
  paths = []
  for group in sorted({p.group for p in points}):
    lines: dict[str, tuple[list[float], list[float]]] = {}
    for p in points:
      # An SNR of 0 is one that the draws could not tell from noise.
      if p.group == group and p.signal_to_noise > 0:
        x, y = lines.setdefault(p.estimator, ([], []))
        x.append(p.num_samples)
        y.append(p.signal_to_noise)
    paths.append(
      plots.curves(
        folder / f'{prefix}_{group}.png',
        title.format(group),
        ('K', '|mean| / deviation of a gradient'),
        lines,
        points=lines,
        scales=('log', 'log'),
      )
    )
  return paths


def suite(
  key: Key, config: GradientVarianceConfig, folder: pathlib.Path
) -> tuple[list[Any], list[pathlib.Path]]:
  """Measures, prints and draws; the flags say nothing of it."""
  del config
  points = sweep(key, SWEEP, NUM_EXAMPLES)
  print(f'\nSignal-to-noise against K, {NUM_EXAMPLES} examples a gradient')
  print(table(points), flush=True)
  title = 'Gradient of the importance-weighted bound, {} parameters'
  return list(points), draw_groups(folder, SUITE, title, points)
