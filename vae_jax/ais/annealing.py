"""Annealed importance sampling of log p(x) of one example."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.ais.hmc import find_step_sizes, hmc_transition
from vae_jax.ais.path import Initial, Path, Point, make_path, make_point
from vae_jax.ais.schedule import Schedule, make_betas, sigmoid_schedule
from vae_jax.distributions import Distribution, sample_many
from vae_jax.distributions.base import check_event
from vae_jax.model import VAE
from vae_jax.objectives import log_mean_exp
from vae_jax.types import Array, Key, Params

# Floats of one intermediate array: a CPU gains nothing from more at once.
_CHUNK_FLOATS = 2**18
# Chains of the preliminary run that fixes the step sizes of an example.
_PRELIMINARY_CHAINS = 4

# Where a chain stands, and log w so far.
_Chain = tuple[Point, Array]


class AisResult(NamedTuple):
  """Annealed importance sampling of one example, or `[N]` of N.

  Attributes:
    log_marginal: the estimate of log p(x), in nats.
    acceptance_rate: of the transitions, mean over chains and temperatures;
      nan where there are none.
    effective_sample_size: (sum_c w_c)^2 / sum_c w_c^2, 1 to `num_chains`.
  """

  log_marginal: Array
  acceptance_rate: Array
  effective_sample_size: Array


# (key, starts `[C, *event]`, whether beta falls) -> a bound
_Anneal = Callable[[Key, Array, Any], AisResult]


def ais(
  key: Key,
  vae: VAE,
  params: Params,
  x: Array,
  *,
  num_chains: int,
  num_temperatures: int,
  num_leapfrog_steps: int = 10,
  schedule: Schedule = sigmoid_schedule,
  initial: Initial | None = None,
) -> AisResult:
  """Estimates log p(x) of one example by annealed importance sampling.

  f_t(z) = p_0(z)^(1 - beta_t) p(x, z)^beta_t, t = 0 .. T - 1: a chain starts
  at z_0 ~ p_0, and z_t is a move of Hamiltonian Monte Carlo from z_{t-1} that
  leaves f_t invariant. Its weight is

    log w = sum_{t=1}^{T-1} log f_t(z_{t-1}) - log f_{t-1}(z_{t-1}),

  E[w] = p(x), and log 1/C sum_c w_c is a lower bound in expectation that
  tightens with T and with C. For one cost, more temperatures of fewer
  leapfrog steps are often worth more than the reverse.

  All this rests on kernels that leave f_t exactly invariant, which a step
  size that follows its own chain does not: the step sizes, one a temperature,
  come of a preliminary run with chains and a key of its own, which moves them
  towards an acceptance of 0.65, and then they stay.

  Args:
    key: consumed.
    vae: the model, of continuous z and a differentiable log p(x, z).
    params: its parameters.
    x: one example, floating.
    num_chains: C, at least 1; moved in blocks of bounded memory that change
      neither the draws nor the result beyond rounding.
    num_temperatures: T, both ends counted, at least 2; 2 is importance
      sampling from p_0.
    num_leapfrog_steps: gradients a transition, at least 1.
    schedule: T -> beta, `[T]`, from 0 to 1.
    initial: (params, x) -> p_0, as `vae.encode`; None is the prior.

  Returns:
    `AisResult`, each `[]`.

  Raises:
    ValueError: a number of chains, temperatures or steps that there cannot
      be; a schedule that does not rise from 0 to 1.
    TypeError: z is discrete.

  References:
    Neal 2001, Annealed importance sampling, section 2; Wu, Burda,
    Salakhutdinov and Grosse 2017, On the Quantitative Analysis of
    Decoder-Based Generative Models, section 3.
  """
  setting_key, key = jax.random.split(key)
  betas = make_betas(schedule, num_temperatures)
  path = make_path(vae, params, x, initial)
  anneal, z = _make_anneal(
    setting_key, *path, betas, num_chains, num_leapfrog_steps, x.size
  )
  return anneal(key, z, False)


def bidirectional_ais(
  key: Key,
  vae: VAE,
  params: Params,
  x: Array,
  posterior_sample: Array,
  *,
  num_chains: int,
  num_temperatures: int,
  num_leapfrog_steps: int = 10,
  schedule: Schedule = sigmoid_schedule,
  initial: Initial | None = None,
) -> tuple[AisResult, AisResult]:
  """Bounds log p(x) of one example by `ais`, and by the same in reverse.

  From an exact draw of p(z|x) a chain goes from beta = 1 to 0, through the
  same kernels in reverse order. E[1/w] = 1/p(x), w defined as in `ais`, and
  -log 1/C sum_c 1/w_c is an upper bound in expectation.

  Args:
    key: consumed.
    vae: as in `ais`.
    params: as in `ais`.
    x: one example, floating, drawn from p(x|z) of the posterior sample: no
      other has a z that is known to be an exact draw.
    posterior_sample: z, drawn from p(z) before x; all reverse chains start
      there.
    num_chains: C, at least 1, each way.
    num_temperatures: as in `ais`.
    num_leapfrog_steps: as in `ais`.
    schedule: as in `ais`.
    initial: as in `ais`.

  Returns:
    The lower and the upper bound, each field `[]`.

  Raises:
    ValueError: as `ais`.
    TypeError: as `ais`.

  References:
    Grosse, Ghahramani and Adams 2015, Sandwiching the marginal likelihood
    using bidirectional Monte Carlo, section 4.
  """
  check_event('posterior_sample', posterior_sample, vae.prior(params))
  setting_key, key = jax.random.split(key)
  betas = make_betas(schedule, num_temperatures)
  path = make_path(vae, params, x, initial)
  anneal, z = _make_anneal(
    setting_key, *path, betas, num_chains, num_leapfrog_steps, 2 * x.size
  )
  ends = jnp.stack([z, jnp.broadcast_to(posterior_sample, z.shape)])
  both = jax.vmap(anneal)(jax.random.split(key), ends, jnp.array([False, True]))
  lower, upper = (AisResult(*(v[i] for v in both)) for i in (0, 1))
  return lower, upper


def chains_at_once(num_chains: int, size: int) -> int:
  """Returns how many chains are moved together on x of `size` numbers."""
  return max(1, min(num_chains, _CHUNK_FLOATS // max(1, size)))


def _make_anneal(
  key: Key,
  p_0: Distribution,
  path: Path,
  betas: Array,
  num_chains: int,
  num_leapfrog_steps: int,
  size: int,
) -> tuple[_Anneal, Array]:
  """Fixes the step sizes; returns what anneals C chains, and their starts."""
  if num_chains < 1:
    raise ValueError(f'num_chains is {num_chains}: must be at least 1')
  if num_leapfrog_steps < 1:
    raise ValueError(
      f'num_leapfrog_steps is {num_leapfrog_steps}: must be at least 1'
    )
  start_key, preliminary_key, step_key = jax.random.split(key, 3)
  z = sample_many(preliminary_key, p_0, _PRELIMINARY_CHAINS)
  step_sizes = find_step_sizes(
    step_key, path, z, betas, num_leapfrog_steps=num_leapfrog_steps
  )

  def anneal(key: Key, z: Array, falling: Any) -> AisResult:
    turn = lambda values: jnp.where(falling, values[::-1], values)
    order = turn(betas), turn(step_sizes)

    def chain(index_and_z: tuple[Array, Array]) -> tuple[Array, Array]:
      index, z = index_and_z
      chain_key = jax.random.fold_in(key, index)
      start = make_point(path, z)
      return _weigh(chain_key, path, start, *order, num_leapfrog_steps)

    log_w, acceptance = jax.lax.map(
      chain,
      (jnp.arange(num_chains), z),
      batch_size=chains_at_once(num_chains, size),
    )
    log_mean = log_mean_exp(log_w)
    # Where beta falls, these are the logarithms of 1/w.
    return AisResult(
      jnp.where(falling, -log_mean, log_mean),
      jnp.mean(acceptance),
      jnp.exp(2 * jax.nn.logsumexp(log_w) - jax.nn.logsumexp(2 * log_w)),
    )

  return anneal, sample_many(start_key, p_0, num_chains)


def _weigh(
  key: Key,
  path: Path,
  point: Point,
  betas: Array,
  step_sizes: Array,
  num_leapfrog_steps: int,
) -> tuple[Array, Array]:
  """Returns log w, and the mean acceptance, of a chain along the betas.

  log w = sum_t (beta_{t+1} - beta_t) log r(z_t), where z_t comes of a kernel
  that leaves f_t invariant.
  """
  increments = jnp.diff(betas)

  def step(state: _Chain, t: Array) -> tuple[_Chain, Array]:
    point, log_w = state
    point, acceptance = hmc_transition(
      jax.random.fold_in(key, t),
      path,
      point,
      beta=betas[t],
      step_size=step_sizes[t],
      num_leapfrog_steps=num_leapfrog_steps,
    )
    return (point, log_w + increments[t] * point.ratio.value), acceptance

  # At the start the chain is in equilibrium: there it need not move.
  log_w = increments[0] * point.ratio.value
  inner = jnp.arange(1, len(betas) - 1)
  (_, log_w), acceptance = jax.lax.scan(step, (point, log_w), inner)
  return log_w, jnp.mean(acceptance)
