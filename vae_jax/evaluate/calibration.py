"""Simulation-based calibration of q(z|x): ranks of z among its samples."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh

from vae_jax.distributions import sample
from vae_jax.distributions.logged_draw import plain
from vae_jax.evaluate import chunks
from vae_jax.evaluate.chunks import Progress, map_chunks
from vae_jax.evaluate.simulation import replace_x, simulate, template
from vae_jax.models import LatentModel, with_sizes
from vae_jax.training.mesh import chunk_size, jit, over_examples, place
from vae_jax.types import Array, Example, Key, Latent, Params

# Expected simulations per bin below which chi-square is a poor approximation.
_FEWEST = 5


class Calibration(NamedTuple):
  """Ranks of simulated z among samples of q(z|x), per latent dimension.

  The ranks are uniform if q(z|x) = p(z|x). A histogram that is high at both
  ends means that q is too narrow, high in the middle too wide, and one that
  slopes that q is shifted.

  Attributes:
    ranks: number of the L samples below z, `[N, D]`, from 0 to L.
    histogram: simulations per bin of equally many ranks, `[D, B]`.
    p_values: chi-square test of a uniform histogram, `[D]`; below alpha with
      probability alpha if the ranks are uniform.
    num_draws: samples per simulation, L.
  """

  ranks: np.ndarray
  histogram: np.ndarray
  p_values: np.ndarray
  num_draws: int

  @property
  def p_value(self) -> float:
    """p-value of all dimensions together, min(1, D min_d p_d) (Bonferroni)."""
    return float(min(1.0, len(self.p_values) * np.min(self.p_values)))

  @property
  def spread(self) -> np.ndarray:
    """Variance of the ranks over that of uniform ranks, `[D]`.

    Above 1 where q is too narrow (or shifted), below 1 where it is too wide.
    """
    uniform = self.num_draws * (self.num_draws + 2) / 12
    centred = self.ranks - self.num_draws / 2
    return np.mean(centred**2, axis=0) / uniform

  def power(self, scale: float, *, false_alarm_rate: float = 0.01) -> float:
    """Returns the probability that a wrong scale of q is detected.

    Args:
      scale: standard deviation of q(z_d|x) over that of p(z_d|x), both normal
        with the same mean.
      false_alarm_rate: alpha; detected means p_d < alpha in this dimension.

    Returns:
      The power of the test of one dimension.
    """
    from scipy import stats

    bins = self.histogram.shape[1]
    expected = _rank_probabilities(scale, self.num_draws)
    expected = expected.reshape(bins, -1).sum(axis=1)
    shift = len(self.ranks) * bins * np.sum((expected - 1 / bins) ** 2)
    limit = stats.chi2.isf(false_alarm_rate, bins - 1)
    # scipy has no noncentral distribution at 0.
    return float(stats.ncx2.sf(limit, bins - 1, max(shift, 1e-12)))


def calibration(
  key: Key,
  model: LatentModel,
  params: Params,
  data: Any = None,
  *,
  num_simulations: int = 1000,
  num_draws: int = 99,
  num_bins: int = 20,
  progress: Progress = iter,
  mesh: Mesh | None = None,
) -> Calibration:
  """Tests whether q(z|x) is the posterior of the model, on simulated data.

  z ~ p(z), x ~ p(x|z), z_1, ..., z_L ~ q(z|x): if q(z|x) = p(z|x), the rank
  #{l: z_l < z} of each dimension is uniform on 0, ..., L. The rank among equal
  values, as of discrete latents, is drawn at random, which keeps it uniform.
  The test is about q under the model's own p(x), not about data.

  Args:
    key: consumed; each simulation has its own, independent of the chunks.
    model: any `LatentModel`.
    params: parameters of the model.
    data: pytree of `[M, ...]` arrays whose conditions y are used, in turn; a
      `VAE` needs none.
    num_simulations: N, at least 5 per bin.
    num_draws: samples of q per simulation, L; `num_bins` divides L + 1.
    num_bins: bins of the histogram, B, at least 2.
    progress: wraps the range of chunks.
    mesh: devices over which the simulations are sharded; None for one.

  Returns:
    `Calibration`. The dimensions of a dict of latents are concatenated in the
    sorted order of their names.

  Raises:
    ValueError: numbers outside these ranges, or no data for a model that is
      not a `VAE`.
    TypeError: examples that are neither an array nor a dict with an entry 'x'.

  References:
    Talts et al. 2018, Validating Bayesian Inference Algorithms with
    Simulation-Based Calibration, theorem 1 and algorithm 1.

  Examples:
    >>> truth = vj.LinearGaussian(jnp.ones((2, 1)), jnp.zeros(2), 0.0)
    >>> too_wide = lambda q: vj.MultivariateNormal(q.mean(), 2 * q.scale_tril)
    >>> encode = lambda params, x: too_wide(truth.posterior(x))
    >>> decode, prior = lambda params, z: truth.decode(z), truth.prior()
    >>> vae = vj.VAE(lambda key: {}, encode, decode, lambda params: prior)
    >>> ranks = vj.calibration(jax.random.key(0), vae, {}, num_simulations=500)
    >>> print(bool(ranks.p_value < 1e-6))
    True
  """
  _check(num_simulations, num_draws, num_bins)
  data = with_sizes(model, template(model, params) if data is None else data)
  ranks = _simulate_ranks(
    key, model, params, data, num_simulations, num_draws, progress, mesh
  )
  return summarise(ranks, num_draws, num_bins)


def _simulate_ranks(
  key: Key,
  model: LatentModel,
  params: Params,
  data: Any,
  num_simulations: int,
  num_draws: int,
  progress: Progress,
  mesh: Mesh | None,
) -> np.ndarray:
  """Returns the ranks of all simulations, `[N, D]`."""
  count = chunks.count_examples(data)
  axes = (None, None, 0, 0)
  one = jax.vmap(_make_ranks(model, num_draws), axes)
  many = jit(over_examples(one, axes, mesh), mesh)
  key, params = place((key, params), mesh)
  size = chunks.example_size(model, params, data) + num_draws
  ranks: np.ndarray = map_chunks(
    lambda index: many(key, params, index, chunks.take(data, index % count)),
    num_simulations,
    chunk_size(num_simulations, max(1, chunks.CHUNK_FLOATS // size), mesh),
    progress,
  )
  return ranks


def _make_ranks(
  model: LatentModel, num_draws: int
) -> Callable[[Key, Params, Array, Example], Array]:
  """Makes the ranks of one simulation, `[D]`."""

  def ranks(key: Key, params: Params, index: Array, example: Example) -> Array:
    data_key, draw_key, tie_key = jax.random.split(
      jax.random.fold_in(key, index), 3
    )
    z, x = simulate(data_key, chunks.condition(model, params, example))
    q = chunks.condition(model, params, replace_x(example, x)).posterior
    draw = lambda key: _flat(sample(key, q))
    draws = jax.vmap(draw)(jax.random.split(draw_key, num_draws))
    return _rank(tie_key, _flat(z), draws)

  return ranks


def summarise(ranks: np.ndarray, num_draws: int, num_bins: int) -> Calibration:
  """Returns the histograms and p-values of ranks.

  Args:
    ranks: `[N, D]`, from 0 to L.
    num_draws: L; `num_bins` divides L + 1.
    num_bins: B.
  """
  from scipy import stats

  bins = ranks // ((num_draws + 1) // num_bins)
  histogram = np.stack(
    [np.bincount(column, minlength=num_bins) for column in bins.T]
  )
  expected = len(ranks) / num_bins
  statistic = np.sum((histogram - expected) ** 2, axis=1) / expected
  p_values = stats.chi2.sf(statistic, num_bins - 1)
  return Calibration(ranks, histogram, p_values, num_draws)


def _flat(z: Latent) -> Array:
  return ravel_pytree(plain(z))[0]


def _rank(key: Key, z: Array, draws: Array) -> Array:
  """Returns the rank of z among draws `[L, D]`, with ties at random, `[D]`."""
  below = jnp.sum(draws < z[None], axis=0)
  equal = jnp.sum(draws == z[None], axis=0)
  return below + jax.random.randint(key, z.shape, 0, equal + 1)


def _rank_probabilities(scale: float, num_draws: int) -> np.ndarray:
  """Returns P(rank = r), r = 0, ..., L, if q has `scale` times the deviation.

  z is standard normal, so that the rank is binomial with the probability
  Phi(z / scale).
  """
  from scipy import stats  # Slow to import.

  if not 0 < scale < np.inf:
    raise ValueError(f'scale is {scale}: must be positive and finite')
  # The trapezoidal rule: spectrally accurate for a smooth, decaying integrand.
  z = np.linspace(-9, 9, 2001)
  weights = stats.norm.pdf(z)
  below = stats.norm.cdf(z / scale)
  ranks = np.arange(num_draws + 1)[:, None]
  return stats.binom.pmf(ranks, num_draws, below) @ (weights / weights.sum())


def _check(num_simulations: int, num_draws: int, num_bins: int) -> None:
  if num_bins < 2:
    raise ValueError(f'num_bins is {num_bins}: must be at least 2')
  if num_draws < 1 or (num_draws + 1) % num_bins:
    raise ValueError(
      f'num_draws is {num_draws}: num_draws + 1 must be a multiple of num_bins '
      f'= {num_bins}, for bins of equal probability'
    )
  if num_simulations < _FEWEST * num_bins:
    raise ValueError(
      f'num_simulations is {num_simulations}: must be at least {_FEWEST} per '
      f'bin, {_FEWEST * num_bins}, for the chi-square test to hold'
    )
