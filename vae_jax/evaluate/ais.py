"""Annealed importance sampling of log p(x) of one example, both ways."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions import Distribution, sample, sample_many
from vae_jax.evaluate.hmc import (
  Path,
  Point,
  find_step_sizes,
  hmc_transition,
  make_point,
)
from vae_jax.model import VAE
from vae_jax.objectives import log_mean_exp
from vae_jax.types import Array, Key, Params

# Floats of one intermediate array: a CPU gains nothing from more at once.
_CHUNK_FLOATS = 2**18
# Chains of the preliminary run that fixes the step sizes of an example.
_PRELIMINARY_CHAINS = 4

Schedule = Callable[[int], np.ndarray]
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


def linear_schedule(num_temperatures: int) -> np.ndarray:
  """Returns beta_t = t / (T - 1), `[T]`."""
  return np.linspace(0, 1, num_temperatures)


def sigmoid_schedule(num_temperatures: int) -> np.ndarray:
  """Returns beta_t, `[T]`, dense near 0 and 1, where the densities change most.

  s_t = sigmoid(4 (2 t / (T - 1) - 1)), beta_t = (s_t - s_0) / (s_T-1 - s_0).

  References:
    Grosse, Ghahramani and Adams 2015, Sandwiching the marginal likelihood
    using bidirectional Monte Carlo, section 6.2.
  """
  s = 1 / (1 + np.exp(-np.linspace(-4, 4, num_temperatures)))
  return (s - s[0]) / (s[-1] - s[0])


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
  initial: Callable[[Params, Array], Distribution] | None = None,
  posterior_sample: Array | None = None,
) -> AisResult:
  """Estimates log p(x) of one example by annealed importance sampling.

  f_t(z) = p_0(z)^(1 - beta_t) p(x, z)^beta_t, t = 0 .. T - 1; a chain starts
  at z_0 ~ p_0, and z_t is a move of Hamiltonian Monte Carlo from z_{t-1} that
  leaves f_t invariant. Its weight is

    log w = sum_{t=1}^{T-1} log f_t(z_{t-1}) - log f_{t-1}(z_{t-1}),

  E[w] = p(x), and log 1/C sum_c w_c is a lower bound in expectation that
  tightens with T and C. The same in reverse from an exact draw of p(z|x) has
  E[1/w] = p(x)^-1, whence -log 1/C sum_c 1/w_c is an upper bound. Both rest
  on kernels that leave f_t exactly invariant, which a step size that follows
  its own chain does not: the step sizes, one a temperature, are found by a
  preliminary run with chains and a key of its own, moved towards an
  acceptance of 0.65, and then stay.

  Args:
    key: consumed; chain c has its own key, whatever the chunks.
    vae: the model, of continuous z and a differentiable log p(x, z).
    params: its parameters.
    x: one example, floating.
    num_chains: C, at least 1.
    num_temperatures: T, both ends counted, at least 2; 2 is importance
      sampling from p_0.
    num_leapfrog_steps: gradients a transition, at least 1.
    schedule: T -> beta, `[T]`, from 0 to 1.
    initial: (params, x) -> p_0, as `vae.encode`; None is the prior.
    posterior_sample: an exact draw of p(z|x), had by simulating x from it:
      anneal in reverse, and return the upper bound; None returns the lower.

  Returns:
    `AisResult`, each `[]`.

  Raises:
    ValueError: a number of chains, temperatures or steps that there cannot
      be; a schedule that does not rise from 0 to 1.
    TypeError: z is discrete.

  References:
    Neal 2001, Annealed importance sampling, section 2; Wu, Burda,
    Salakhutdinov and Grosse 2017, On the Quantitative Analysis of
    Decoder-Based Generative Models, section 3; Grosse, Ghahramani and Adams
    2015, Sandwiching the marginal likelihood, section 4.
  """
  if num_chains < 1:
    raise ValueError(f'num_chains is {num_chains}: must be at least 1')
  if num_leapfrog_steps < 1:
    raise ValueError(
      f'num_leapfrog_steps is {num_leapfrog_steps}: must be at least 1'
    )
  betas = _make_betas(schedule, num_temperatures)
  p_0, path = _make_path(vae, params, x, initial)
  preliminary_key, step_key, chains_key = jax.random.split(key, 3)
  step_sizes = find_step_sizes(
    step_key,
    path,
    sample_many(preliminary_key, p_0, _PRELIMINARY_CHAINS),
    betas,
    num_leapfrog_steps=num_leapfrog_steps,
  )
  if posterior_sample is not None:
    betas, step_sizes = betas[::-1], step_sizes[::-1]

  def chain(c: Array) -> tuple[Array, Array]:
    start_key, key = jax.random.split(jax.random.fold_in(chains_key, c))
    z = sample(start_key, p_0) if posterior_sample is None else posterior_sample
    start = make_point(path, z)
    return _anneal(key, path, start, betas, step_sizes, num_leapfrog_steps)

  log_w, acceptance = jax.lax.map(
    chain,
    jnp.arange(num_chains),
    batch_size=chains_at_once(num_chains, np.size(x)),
  )
  log_mean = log_mean_exp(log_w)
  return AisResult(
    log_mean if posterior_sample is None else -log_mean,
    jnp.mean(acceptance),
    jnp.exp(2 * jax.nn.logsumexp(log_w) - jax.nn.logsumexp(2 * log_w)),
  )


def chains_at_once(num_chains: int, size: int) -> int:
  """Returns how many chains are moved together on x of `size` numbers."""
  return max(1, min(num_chains, _CHUNK_FLOATS // max(1, size)))


def _make_betas(schedule: Schedule, num_temperatures: int) -> Array:
  if num_temperatures < 2:
    raise ValueError(
      f'num_temperatures is {num_temperatures}: must be at least 2, as both '
      'ends count'
    )
  # Rounded first: the increments are those of the very betas of the kernels.
  betas = np.asarray(schedule(num_temperatures), np.float32)
  ends = betas.shape == (num_temperatures,) and betas[0] == 0 and betas[-1] == 1
  if not ends or np.any(np.diff(betas) < 0):
    raise ValueError(
      f'schedule is to rise from 0 to 1 in {num_temperatures} numbers'
    )
  return jnp.asarray(betas)


def _make_path(
  vae: VAE,
  params: Params,
  x: Array,
  initial: Callable[[Params, Array], Distribution] | None,
) -> tuple[Distribution, Path]:
  """Returns p_0 and the path from it to p(x, z)."""
  prior = vae.prior(params)
  _check_continuous(prior)
  log_likelihood = lambda z: vae.decode(params, z).log_prob(x)
  if initial is None:
    return prior, Path(prior.log_prob, log_likelihood)
  q = initial(params, x)
  _check_continuous(q)
  ratio = lambda z: log_likelihood(z) + prior.log_prob(z) - q.log_prob(z)
  return q, Path(q.log_prob, ratio)


def _check_continuous(q: Distribution) -> None:
  draw = jax.eval_shape(q.sample, jax.random.key(0))
  # Our discrete families draw floats, for networks to take.
  if q.pathwise_parameters == () or not jnp.issubdtype(
    draw.dtype, jnp.floating
  ):
    raise TypeError(
      f'{q.name} is discrete: Hamiltonian Monte Carlo moves z along the '
      'gradient of log p(x, z), so that z must be continuous'
    )


def _anneal(
  key: Key,
  path: Path,
  point: Point,
  betas: Array,
  step_sizes: Array,
  num_leapfrog_steps: int,
) -> tuple[Array, Array]:
  """Returns log w, and the mean acceptance, of a chain along the betas.

  log w = sum_t (beta_t+1 - beta_t) log r(z_t), where z_t leaves f_t invariant:
  of falling betas this is the logarithm of the inverse weight.
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
