"""Annealed importance sampling (AIS) of log p(x) of one example.

Unbiased weights need kernels that leave each f_t exactly invariant, which a
step size adapted to its own chain does not. A preliminary run, with its own
chains and key, adapts one step size per temperature to an acceptance rate of
0.65. The step sizes are then fixed.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.ais.hmc import find_step_sizes, hmc_transition
from vae_jax.ais.path import (
  ChainState,
  Path,
  flatten_events,
  make_path,
  make_state,
)
from vae_jax.ais.schedule import Schedule, make_betas, sigmoid_schedule
from vae_jax.distributions import Distribution, _shapes, sample_many
from vae_jax.distributions._numerics import float32_or_wider
from vae_jax.distributions.base import check_event
from vae_jax.objectives import log_mean_exp
from vae_jax.types import Array, Key, Latent, LogDensity

# Chains of the preliminary run that finds the step sizes of an example.
_PRELIMINARY_CHAINS = 4

# State of a chain, and its log weight.
_Weighted = tuple[ChainState, Array]


class _Counts(NamedTuple):
  """The arguments of `ais` of these names."""

  num_chains: int
  num_temperatures: int
  num_leapfrog_steps: int
  batch_size: int | None


class AisResult(NamedTuple):
  """Annealed importance sampling of one example, or `[N]` for N examples.

  Attributes:
    log_marginal: estimate of log p(x), in nats.
    acceptance_rate: mean acceptance probability over chains and temperatures;
      nan without transitions.
    effective_sample_size: (sum_c w_c)^2 / sum_c w_c^2, between 1 and
      `num_chains`.
  """

  log_marginal: Array
  acceptance_rate: Array
  effective_sample_size: Array


def ais(
  key: Key,
  initial: Distribution,
  log_joint: LogDensity,
  *,
  num_chains: int,
  num_temperatures: int,
  log_ratio: LogDensity | None = None,
  num_leapfrog_steps: int = 10,
  schedule: Schedule = sigmoid_schedule,
  batch_size: int | None = None,
) -> AisResult:
  """Estimates log p(x) of one example by annealed importance sampling.

  f_t(z) = p_0(z)^(1 - beta_t) p(x, z)^beta_t, t = 0 .. T - 1. A chain starts
  at z_0 ~ p_0, and a transition of Hamiltonian Monte Carlo that leaves f_t
  invariant maps z_{t-1} to z_t. The weight of the chain is

    log w = sum_{t=1}^{T-1} log f_t(z_{t-1}) - log f_{t-1}(z_{t-1}),

  E[w] = p(x), and log 1/C sum_c w_c is a lower bound in expectation that
  tightens with T and with C. At equal cost, more temperatures with fewer
  leapfrog steps are often better. Chains move in log z where p_0 is over
  positive numbers, and in logit z over (0, 1); the weights do not change.

  Args:
    key: consumed.
    initial: p_0, a normalised distribution over z, such as the prior.
    log_joint: z -> log p(x, z), `[]`, differentiable.
    num_chains: C, at least 1.
    num_temperatures: T, including both ends, at least 2; 2 is importance
      sampling from p_0.
    log_ratio: z -> log p(x, z) - log p_0(z) where a simpler form exists, such
      as the log-likelihood if p_0 is the prior; None for the difference.
    num_leapfrog_steps: leapfrog steps per transition, at least 1.
    schedule: T -> beta, `[T]`, from 0 to 1.
    batch_size: chains computed at once, to bound memory; None for all. The
      draws do not depend on it.

  Returns:
    `AisResult`, each `[]`.

  Raises:
    ValueError: too few chains, temperatures or steps; a schedule that does not
      rise from 0 to 1.
    TypeError: z is discrete, or p_0 has no inverse.

  References:
    Neal 2001, Annealed importance sampling, section 2; Wu, Burda,
    Salakhutdinov and Grosse 2017, On the Quantitative Analysis of
    Decoder-Based Generative Models, section 3.
  """
  setting_key, key = jax.random.split(key)
  path = make_path(initial, log_joint, log_ratio)
  counts = _Counts(num_chains, num_temperatures, num_leapfrog_steps, batch_size)
  annealing, z = _set_up(setting_key, initial, path, counts, schedule)
  return annealing.run(key, z, False)


def bidirectional_ais(
  key: Key,
  initial: Distribution,
  log_joint: LogDensity,
  posterior_sample: Latent,
  *,
  num_chains: int,
  num_temperatures: int,
  log_ratio: LogDensity | None = None,
  num_leapfrog_steps: int = 10,
  schedule: Schedule = sigmoid_schedule,
  batch_size: int | None = None,
) -> tuple[AisResult, AisResult]:
  """Bounds log p(x) of one example by bidirectional Monte Carlo.

  The lower bound is that of `ais`. For the upper bound, chains start at an
  exact sample of p(z|x) and go from beta = 1 to 0, through the same kernels in
  reverse order. E[1/w] = 1/p(x), w defined as in `ais`, and
  -log 1/C sum_c 1/w_c is an upper bound in expectation.

  Args:
    key: consumed.
    initial: as in `ais`.
    log_joint: as in `ais`, for an x drawn from p(x|z) of the posterior sample:
      for other x no exact sample of p(z|x) is known.
    posterior_sample: z, drawn from p(z) before x was drawn from p(x|z); all
      reverse chains start there.
    num_chains: C per direction, at least 1.
    num_temperatures: as in `ais`.
    log_ratio: as in `ais`.
    num_leapfrog_steps: as in `ais`.
    schedule: as in `ais`.
    batch_size: chains per direction that are computed at once; None for all.

  Returns:
    Lower and upper bound, each field `[]`.

  Raises:
    ValueError: as `ais`, or a posterior sample of another shape.
    TypeError: as `ais`.

  References:
    Grosse, Ghahramani and Adams 2015, Sandwiching the marginal likelihood
    using bidirectional Monte Carlo, section 4.
  """
  check_event('posterior_sample', posterior_sample, initial)
  setting_key, key = jax.random.split(key)
  path = make_path(initial, log_joint, log_ratio)
  counts = _Counts(num_chains, num_temperatures, num_leapfrog_steps, batch_size)
  annealing, z = _set_up(setting_key, initial, path, counts, schedule)
  end = jnp.broadcast_to(annealing.ravel(posterior_sample), z.shape)
  both = jax.vmap(annealing.run)(
    jax.random.split(key), jnp.stack([z, end]), jnp.array([False, True])
  )
  lower, upper = (AisResult(*(v[i] for v in both)) for i in (0, 1))
  return lower, upper


class _Annealing(NamedTuple):
  """Annealing of C chains with fixed betas and step sizes.

  Attributes:
    path: the densities, over arrays.
    ravel: maps one z to an array.
    betas: `[T]`.
    step_sizes: `[T]`.
    num_leapfrog_steps: leapfrog steps per transition.
    batch_size: chains computed at once.
  """

  path: Path
  ravel: Callable[[Latent], Array]
  betas: Array
  step_sizes: Array
  num_leapfrog_steps: int
  batch_size: int

  def run(self, key: Key, z: Array, reverse: Any) -> AisResult:
    """Anneals chains from z, `[C, *event]`; from beta = 1 to 0 if `reverse`."""
    flip = lambda values: jnp.where(reverse, values[::-1], values)
    order = flip(self.betas), flip(self.step_sizes)

    def chain(index_and_z: tuple[Array, Array]) -> tuple[Array, Array]:
      index, z = index_and_z
      chain_key = jax.random.fold_in(key, index)
      start = make_state(self.path, z)
      return _weigh(
        chain_key, self.path, start, *order, self.num_leapfrog_steps
      )

    log_w, acceptance = jax.lax.map(
      chain, (jnp.arange(len(z)), z), batch_size=self.batch_size
    )
    log_mean = log_mean_exp(log_w)
    # In reverse, `log_w` are the logarithms of 1/w.
    return AisResult(
      jnp.where(reverse, -log_mean, log_mean),
      jnp.mean(acceptance),
      jnp.exp(2 * jax.nn.logsumexp(log_w) - jax.nn.logsumexp(2 * log_w)),
    )


def _set_up(
  key: Key,
  initial: Distribution,
  path: Path,
  counts: _Counts,
  schedule: Schedule,
) -> tuple[_Annealing, Array]:
  """Finds the step sizes; returns the annealing and C starts from p_0."""
  num_chains, num_temperatures, num_leapfrog_steps, batch_size = counts
  if num_chains < 1:
    raise ValueError(f'num_chains is {num_chains}: must be at least 1')
  if num_leapfrog_steps < 1:
    raise ValueError(
      f'num_leapfrog_steps is {num_leapfrog_steps}: must be at least 1'
    )
  ravel, path = flatten_events(initial, path)
  start_key, preliminary_key, step_key = jax.random.split(key, 3)
  z = jax.vmap(ravel)(
    sample_many(preliminary_key, initial, _PRELIMINARY_CHAINS)
  )
  _shapes.assert_rank([jax.eval_shape(f, z[0]) for f in path], 0)
  dtype = float32_or_wider(z.dtype)
  betas = make_betas(schedule, num_temperatures, dtype)
  step_sizes = find_step_sizes(
    step_key, path, z, betas, num_leapfrog_steps=num_leapfrog_steps
  )
  at_once = num_chains if batch_size is None else min(num_chains, batch_size)
  annealing = _Annealing(
    path, ravel, betas, step_sizes, num_leapfrog_steps, at_once
  )
  return annealing, jax.vmap(ravel)(sample_many(start_key, initial, num_chains))


def _weigh(
  key: Key,
  path: Path,
  state: ChainState,
  betas: Array,
  step_sizes: Array,
  num_leapfrog_steps: int,
) -> tuple[Array, Array]:
  """Returns log w and the mean acceptance of one chain along the betas.

  log w = sum_t (beta_{t+1} - beta_t) log r(z_t), where z_t is the state after a
  kernel that leaves f_t invariant.
  """
  increments = jnp.diff(betas)

  def step(weighted: _Weighted, t: Array) -> tuple[_Weighted, Array]:
    state, log_w = weighted
    state, acceptance = hmc_transition(
      jax.random.fold_in(key, t),
      path,
      state,
      beta=betas[t],
      step_size=step_sizes[t],
      num_leapfrog_steps=num_leapfrog_steps,
    )
    return (state, log_w + increments[t] * state.ratio.value), acceptance

  # The start is in equilibrium: no transition is needed there.
  log_w = increments[0] * state.ratio.value
  inner = jnp.arange(1, len(betas) - 1)
  (_, log_w), acceptance = jax.lax.scan(step, (state, log_w), inner)
  return log_w, jnp.mean(acceptance)
