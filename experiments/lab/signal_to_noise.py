"""Signal-to-noise ratio of importance-weighted gradients against K.

For the model of Rainforth et al. 2018, section 4, `one_layer`, with 1024
examples per gradient; and for that of `two_layers`, in which q and p draw
their layers in opposite orders.
"""

import functools
import math
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.lab import one_layer, two_layers
from experiments.lab.config import GradientVarianceConfig
from vae_jax import plots
from vae_jax.distributions import Distribution, reparameterise_many
from vae_jax.models.vae import VAE
from vae_jax.runs.save_figure import save_figure
from vae_jax.training.gradient_noise import Moments, compare, gradient_moments
from vae_jax.training.loss import LossFn, make_loss
from vae_jax.types import Array, Key, LogDensity, Params

NUM_EXAMPLES = 1024
# (K, number of gradients drawn): fewer for large K, where noise is lower.
SWEEP = (
  (1, 200),
  (10, 60),
  (100, 30),
  (300, 12),
  (1000, 8),
)
# Of two layers: the same K, fewer examples.
SWEEP_OF_LAYERS = ((1, 200), (10, 60), (100, 40), (300, 20), (1000, 12))
NUM_EXAMPLES_OF_LAYERS = 128
# The rates are asymptotic in K; smaller K are not used in the fit.
_ASYMPTOTIC = 100
SUITE = 'signal_to_noise'
# Index of a key that no split of its parent contains.
_OTHER = 2**30
BIASED = 'stl, biased'
ESTIMATORS = ('pathwise', 'dreg', BIASED)
# (group, estimator) -> exponent of K in the SNR, for large K.
RATES = {
  ('decoder', 'pathwise'): 0.5,
  ('encoder', 'pathwise'): -0.5,
  ('encoder', 'dreg'): 0.5,
}
# The same in each layer; gdreg reparameterises p(z2) and p(z1|z2) as well.
RATES_OF_LAYERS = {
  ('encoder_z1', 'pathwise'): -0.5,
  ('encoder_z1', 'dreg'): 0.5,
  ('encoder_z2', 'pathwise'): -0.5,
  ('encoder_z2', 'dreg'): 0.5,
  ('prior', 'pathwise'): 0.5,
  ('prior', 'gdreg'): 0.5,
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


class Case(NamedTuple):
  """A model, and the estimators to compare in each parameter group.

  Attributes:
    suite: as in `Record`.
    vae: the model.
    draw_data: `draw_data(key, num_examples) -> [num_examples, D]`.
    perturbed: `perturbed(key, mean of x) -> params` near the optimum.
    groups: parameter group -> estimators whose gradients differ in it.
  """

  suite: str
  vae: VAE
  draw_data: Callable[[Key, int], Array]
  perturbed: Callable[[Key, Array], Params]
  groups: Mapping[str, tuple[str, ...]]


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


def of_one_layer() -> Case:
  """Returns the model of Rainforth et al."""
  # The estimators differ in the gradient of the encoder only.
  groups = {'encoder': ESTIMATORS, 'decoder': ('pathwise',)}
  return Case(
    SUITE,
    one_layer.model(),
    one_layer.draw_data,
    one_layer.perturbed,
    groups,
  )


def of_two_layers(dim: int = two_layers.DIM) -> Case:
  """Returns the model of `two_layers` with some dimensions per layer."""
  encoder = ('pathwise', 'dreg')
  groups = {'encoder_z1': encoder, 'encoder_z2': encoder}
  return Case(
    f'{SUITE}_two_layers',
    two_layers.model(dim),
    functools.partial(two_layers.draw_data, dim=dim),
    two_layers.perturbed,
    groups | {'prior': ('pathwise', 'gdreg')},
  )


def sweep(
  key: Key, grid: Sequence[tuple[int, int]], num_examples: int, case: Case
) -> list[Point]:
  """Measures every estimator at each K of the grid, on the same data.

  Args:
    key: consumed.
    grid: pairs of K and the number of gradients to draw.
    num_examples: examples per gradient.
    case: the model.
  """
  data_key, params_key, run_key = jax.random.split(key, 3)
  batch = case.draw_data(data_key, num_examples)
  params = case.perturbed(params_key, jnp.mean(batch, axis=0))
  names = tuple(dict.fromkeys(sum(case.groups.values(), ())))

  def draws(estimator: str, num_samples: int, num_draws: int) -> Draws:
    loss = loss_of(case.vae, estimator, num_samples)
    return jax.jit(
      lambda key: gradient_moments(key, loss, params, batch, num_draws)
    )

  points = []
  for k, num_draws in grid:
    noise_key, reference_key = jax.random.split(jax.random.fold_in(run_key, k))
    draw = {name: draws(name, k, num_draws) for name in names}
    reference = draw['pathwise'](reference_key)
    found = {
      name: run(jax.random.clone(noise_key)) for name, run in draw.items()
    }
    biased = [name for name in names if name == BIASED]
    compared = compare(found, reference, biased)
    points += [
      Point(case.suite, group, name, k, *compared[group][name])
      for group, distinct in case.groups.items()
      for name in distinct
    ]
  return points


def slopes(points: Sequence[Point]) -> dict[tuple[str, str], float]:
  """Returns the least-squares slopes of log SNR in log K.

  A slope is nan if fewer than two signals are distinguishable from noise.
  """
  measured = {(p.group, p.estimator) for p in points}
  rates = [rate for rate in RATES | RATES_OF_LAYERS if rate in measured]
  return {rate: _slope(points, *rate) for rate in rates}


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
  theory = RATES | RATES_OF_LAYERS
  for (group, estimator), slope in slopes(points).items():
    lines.append(
      f'slope of log SNR in log K, K >= {_ASYMPTOTIC}, {group}, {estimator}: '
      f'{slope:+.3f} (theory {theory[group, estimator]:+.1f})'
    )
  return '\n'.join(lines)


def suite(
  key: Key, config: GradientVarianceConfig, folder: pathlib.Path
) -> tuple[list[Any], list[pathlib.Path]]:
  """Runs the sweeps, prints their tables and draws SNR against K."""
  del config
  # The parent is the key of the first case: its numbers stay.
  cases = (
    (key, of_one_layer(), SWEEP, NUM_EXAMPLES, 'One layer'),
    (
      jax.random.fold_in(key, _OTHER),
      of_two_layers(),
      SWEEP_OF_LAYERS,
      NUM_EXAMPLES_OF_LAYERS,
      'Two layers',
    ),
  )
  found: list[Any] = []
  paths = []
  for case_key, case, grid, num_examples, words in cases:
    points = sweep(case_key, grid, num_examples, case)
    print(f'\n{words}: SNR against K, {num_examples} examples per gradient')
    print(table(points), flush=True)
    title = 'Gradient of the importance-weighted bound, {} parameters'
    paths += [
      save_figure(folder / f'{case.suite}_{group}.png', figure)
      for group, figure in plots.signal_to_noise(title, points).items()
    ]
    found += points
  return found, paths
