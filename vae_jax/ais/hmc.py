"""Hamiltonian Monte Carlo (HMC) on a path of densities, for one chain."""

import jax
import jax.numpy as jnp

from vae_jax.ais.path import (
  ChainState,
  Path,
  annealed_log_density,
  make_state,
)
from vae_jax.distributions._numerics import float32_or_wider
from vae_jax.types import Array, ArrayLike, Key

# Optimal acceptance rate: Beskos et al. 2013, 0.651; Wu et al. 2017 use 0.65.
_TARGET_ACCEPTANCE = 0.65
# Gain of the log step size on the error of the acceptance rate.
_GAIN = 0.2
# Relative half-width of the uniform distribution of the step size.
_JITTER = 0.2

# States of the chains of a preliminary run, and log e.
_Adaptation = tuple[ChainState, Array]


def leapfrog(
  path: Path,
  state: ChainState,
  momentum: Array,
  *,
  beta: ArrayLike,
  step_size: ArrayLike,
  num_leapfrog_steps: int,
) -> tuple[ChainState, Array]:
  """Integrates Hamilton's equations of H = |p|^2/2 - log f_beta(z).

  A step of size e is p += e/2 grad log f_beta(z); z += e p; p += e/2 grad
  log f_beta(z). The map preserves volume, and from (z', -p') it returns to
  (z, -p).

  Args:
    path: the densities.
    state: start of the trajectory.
    momentum: p, of the shape of z.
    beta: inverse temperature, 0 to 1.
    step_size: e.
    num_leapfrog_steps: L, at least 1.

  Returns:
    State and momentum at the end.

  References:
    Neal 2011, MCMC using Hamiltonian Dynamics, eq. (5.18) to (5.20).
  """
  log_f = lambda z: path.log_initial(z) + beta * path.log_ratio(z)

  def step(_: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
    z, p = state
    z = z + step_size * p
    return z, p + step_size * jax.grad(log_f)(z)

  p = momentum + 0.5 * step_size * annealed_log_density(state, beta).gradient
  # The values of log f are needed at the end only.
  z, p = jax.lax.fori_loop(0, num_leapfrog_steps - 1, step, (state.z, p))
  end = make_state(path, z + step_size * p)
  return end, p + 0.5 * step_size * annealed_log_density(end, beta).gradient


def hmc_transition(
  key: Key,
  path: Path,
  state: ChainState,
  *,
  beta: ArrayLike,
  step_size: ArrayLike,
  num_leapfrog_steps: int,
) -> tuple[ChainState, Array]:
  """Moves one chain by a kernel that is reversible with respect to f_beta.

  p ~ N(0, I), leapfrog to (z', p'), and z' is accepted with probability
  min(1, exp(H(z, p) - H(z', p'))). The step size is drawn within 20 % of the
  given one, independent of the state, because trajectories of fixed length may
  be periodic.

  Args:
    key: consumed.
    path: the densities, differentiable.
    state: current state of the chain.
    beta: inverse temperature, 0 to 1.
    step_size: mean step size of leapfrog; the kernel is exact only if it does
      not depend on this chain.
    num_leapfrog_steps: L, at least 1.

  Returns:
    Next state of the chain, and the acceptance probability, `[]`.

  References:
    Neal 2011, MCMC using Hamiltonian Dynamics, section 5.3.2, and 5.4.2.2 on
    random step sizes.
  """
  momentum_key, step_key, accept_key = jax.random.split(key, 3)
  momentum = jax.random.normal(momentum_key, state.z.shape, state.z.dtype)
  dtype = float32_or_wider(state.z.dtype)
  factor = jax.random.uniform(
    step_key, dtype=dtype, minval=1 - _JITTER, maxval=1 + _JITTER
  )
  proposal, end = leapfrog(
    path,
    state,
    momentum,
    beta=beta,
    step_size=step_size * factor,
    num_leapfrog_steps=num_leapfrog_steps,
  )
  energy = lambda state, p: (
    0.5 * jnp.sum(jnp.square(p)) - annealed_log_density(state, beta).value
  )
  log_ratio = energy(state, momentum) - energy(proposal, end)
  # A trajectory that diverges or leaves the support may end at nan. It is
  # rejected; min(0, nan) would be nan and corrupt the step size.
  log_ratio = jnp.where(jnp.isnan(log_ratio), -jnp.inf, log_ratio)
  acceptance = jnp.exp(jnp.minimum(log_ratio, 0))
  accepted = jax.random.uniform(accept_key, dtype=dtype) < acceptance
  choose = lambda new, old: jnp.where(accepted, new, old)
  return jax.tree.map(choose, proposal, state), acceptance


def find_step_sizes(
  key: Key,
  path: Path,
  z: Array,
  betas: Array,
  *,
  num_leapfrog_steps: int,
) -> Array:
  """Finds one step size per temperature, in a run of separate chains.

  log e increases by 0.2 (a - 0.65) at each temperature, where a is the mean
  acceptance probability of all chains.

  Args:
    key: consumed.
    path: the densities, differentiable.
    z: starting points of the chains, `[C, *event]`.
    betas: `[T]`.
    num_leapfrog_steps: leapfrog steps per transition.

  Returns:
    `[T]`.

  References:
    Andrieu and Thoms 2008, A tutorial on adaptive MCMC, eq. (19).
  """

  def step(adaptation: _Adaptation, t: Array) -> tuple[_Adaptation, Array]:
    states, log_step_size = adaptation
    keys = jax.random.split(jax.random.fold_in(key, t), len(z))
    move = lambda key, state: hmc_transition(
      key,
      path,
      state,
      beta=betas[t],
      step_size=jnp.exp(log_step_size),
      num_leapfrog_steps=num_leapfrog_steps,
    )
    states, acceptance = jax.vmap(move)(keys, states)
    error = jnp.mean(acceptance) - _TARGET_ACCEPTANCE
    log_step_size += (_GAIN * error).astype(log_step_size.dtype)
    return (states, log_step_size), jnp.exp(log_step_size)

  states = jax.vmap(lambda z: make_state(path, z))(z)
  # Scaling of the optimal step size for a standard normal.
  first = -0.25 * jnp.log(jnp.asarray(max(1, z[0].size), betas.dtype))
  _, step_sizes = jax.lax.scan(step, (states, first), jnp.arange(len(betas)))
  return step_sizes
