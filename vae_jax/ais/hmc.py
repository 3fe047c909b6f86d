"""Hamiltonian Monte Carlo on a path of densities, for one chain."""

import jax
import jax.numpy as jnp

from vae_jax.ais.path import Path, Point, make_point, tempered
from vae_jax.types import Array, ArrayLike, Key

# Of least cost: Beskos et al. 2013, 0.651; Wu et al. 2017 take 0.65.
_TARGET_ACCEPTANCE = 0.65
# How much of the acceptance's error the log step size takes up.
_GAIN = 0.2
# Step sizes are drawn anew from within this factor of the one that is set.
_JITTER = 0.2

# The chains of a preliminary run, and log e.
_Chains = tuple[Point, Array]


def leapfrog(
  path: Path,
  point: Point,
  momentum: Array,
  *,
  beta: ArrayLike,
  step_size: ArrayLike,
  num_leapfrog_steps: int,
) -> tuple[Point, Array]:
  """Follows Hamilton's equations of H = |p|^2/2 - log f_beta(z).

  Each step of size e is p += e/2 grad log f_beta(z); z += e p; p += e/2 grad
  log f_beta(z): it keeps volume, and from (z', -p') it leads back to (z, -p).

  Args:
    path: the densities.
    point: the start.
    momentum: p, of the shape of z.
    beta: of the density, 0 to 1.
    step_size: e.
    num_leapfrog_steps: L, at least 1.

  Returns:
    The end's point and momentum.

  References:
    Neal 2011, MCMC using Hamiltonian Dynamics, eq. (5.18) to (5.20).
  """
  log_f = lambda z: path.log_initial(z) + beta * path.log_ratio(z)

  def step(_: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
    z, p = state
    z = z + step_size * p
    return z, p + step_size * jax.grad(log_f)(z)

  p = momentum + 0.5 * step_size * tempered(point, beta).gradient
  # The values of log f are needed at the end only.
  z, p = jax.lax.fori_loop(0, num_leapfrog_steps - 1, step, (point.z, p))
  end = make_point(path, z + step_size * p)
  return end, p + 0.5 * step_size * tempered(end, beta).gradient


def hmc_transition(
  key: Key,
  path: Path,
  point: Point,
  *,
  beta: ArrayLike,
  step_size: ArrayLike,
  num_leapfrog_steps: int,
) -> tuple[Point, Array]:
  """Moves one chain by a kernel that is reversible with respect to f_beta.

  p ~ N(0, I), leapfrog to (z', p'), and z' is accepted with probability
  min(1, exp(H(z, p) - H(z', p'))). The step size is drawn from within 20 % of
  the given one, whatever the state, since trajectories of one length may be
  periodic.

  Args:
    key: consumed.
    path: the densities, differentiable.
    point: where the chain stands.
    beta: of the density, 0 to 1.
    step_size: of leapfrog; the kernel is exact only if it was fixed without
      knowledge of this chain.
    num_leapfrog_steps: L, at least 1.

  Returns:
    Where the chain stands next, and the probability of acceptance, `[]`.

  References:
    Neal 2011, MCMC using Hamiltonian Dynamics, section 5.3.2, and 5.4.2.2 on
    random step sizes.
  """
  momentum_key, step_key, accept_key = jax.random.split(key, 3)
  momentum = jax.random.normal(momentum_key, point.z.shape, point.z.dtype)
  factor = jax.random.uniform(step_key, minval=1 - _JITTER, maxval=1 + _JITTER)
  proposal, end = leapfrog(
    path,
    point,
    momentum,
    beta=beta,
    step_size=step_size * factor,
    num_leapfrog_steps=num_leapfrog_steps,
  )
  energy = lambda point, p: (
    0.5 * jnp.sum(jnp.square(p)) - tempered(point, beta).value
  )
  log_ratio = energy(point, momentum) - energy(proposal, end)
  # A trajectory that diverged, or left the support, may end at nan: it is
  # rejected, where min(0, nan) would be nan and poison the step size.
  log_ratio = jnp.where(jnp.isnan(log_ratio), -jnp.inf, log_ratio)
  acceptance = jnp.exp(jnp.minimum(log_ratio, 0))
  accepted = jax.random.uniform(accept_key) < acceptance
  choose = lambda new, old: jnp.where(accepted, new, old)
  return jax.tree.map(choose, proposal, point), acceptance


def find_step_sizes(
  key: Key,
  path: Path,
  z: Array,
  betas: Array,
  *,
  num_leapfrog_steps: int,
) -> Array:
  """Finds a step size a temperature, by a run of its own chains.

  log e rises by 0.2 (a - 0.65) at each temperature, where a is the mean
  probability of acceptance of all chains.

  Args:
    key: consumed.
    path: the densities, differentiable.
    z: starts of the chains, `[C, *event]`.
    betas: `[T]`.
    num_leapfrog_steps: of each transition.

  Returns:
    `[T]`.

  References:
    Andrieu and Thoms 2008, A tutorial on adaptive MCMC, eq. (19).
  """

  def step(state: _Chains, t: Array) -> tuple[_Chains, Array]:
    points, log_step_size = state
    keys = jax.random.split(jax.random.fold_in(key, t), len(z))
    move = lambda key, point: hmc_transition(
      key,
      path,
      point,
      beta=betas[t],
      step_size=jnp.exp(log_step_size),
      num_leapfrog_steps=num_leapfrog_steps,
    )
    points, acceptance = jax.vmap(move)(keys, points)
    error = jnp.mean(acceptance) - _TARGET_ACCEPTANCE
    log_step_size += _GAIN * error
    return (points, log_step_size), jnp.exp(log_step_size)

  points = jax.vmap(lambda z: make_point(path, z))(z)
  # The order of what is best for a standard normal.
  first = -0.25 * jnp.log(jnp.float32(max(1, z[0].size)))
  _, step_sizes = jax.lax.scan(step, (points, first), jnp.arange(len(betas)))
  return step_sizes
