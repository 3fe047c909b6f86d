import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import helpers
from vae_jax.ais import hmc
from vae_jax.ais.path import Path, annealed_log_density, make_state

# Two wells of different depth at beta = 0.8; no density of the path is normal.
PATH = Path(
  lambda z: -0.5 * jnp.sum(z**2) - 0.1 * jnp.sum(z**4),
  lambda z: jnp.sum(1.5 * z**2 + 0.4 * z - 0.1 * z**4),
)
BETA = 0.8
# Its density is 0 below 0, with a jump.
HALF_LINE = Path(
  lambda z: jnp.sum(jnp.where(z > 0, -z, -jnp.inf)),
  lambda z: -0.1 * jnp.sum(jnp.where(z > 0, z**2, 0)),
)
GRID = np.linspace(-6, 30, 200_001)

flow = functools.partial(
  hmc.leapfrog, PATH, beta=BETA, step_size=0.21, num_leapfrog_steps=7
)


def density(path):
  """The normalised f_beta on the grid."""
  log_f = lambda z: path.log_initial(z) + BETA * path.log_ratio(z)
  values = np.asarray(jax.vmap(log_f)(jnp.asarray(GRID)[:, None]), np.float64)
  f = np.exp(values - values.max())
  return f / f.sum()


def exact_draws(path, n):
  cumulative = np.cumsum(density(path))
  u = np.random.default_rng(0).uniform(size=n)
  z = np.interp(u, cumulative, GRID)
  return jnp.asarray(z, jnp.float32)[:, None]


def energy(state, p):
  return 0.5 * jnp.sum(p**2) - annealed_log_density(state, BETA).value


@functools.cache
def moved(path, num_transitions, step_size, start=None, n=20_000):
  """Returns chains before and after; from exact draws, or from `start`."""
  z = exact_draws(path, n) if start is None else jnp.full((n, 1), start)

  def chain(key, z):
    step = lambda t, state: hmc.hmc_transition(
      jax.random.fold_in(key, t),
      path,
      state,
      beta=BETA,
      step_size=step_size,
      num_leapfrog_steps=4,
    )[0]
    start = make_state(path, z)
    return jax.lax.fori_loop(0, num_transitions, step, start).z

  keys = jax.random.split(jax.random.key(3), n)
  return np.asarray(z)[:, 0], np.asarray(jax.jit(jax.vmap(chain))(keys, z))[
    :, 0
  ]


MOMENTS = {
  'z': lambda z: z,
  'z^2': lambda z: z**2,
  'z^3': lambda z: z**3,
  'right': lambda z: 1.0 * (z > 0.7),
}


@pytest.fixture
def start(key):
  z_key, p_key = jax.random.split(key)
  z, p = jax.random.normal(z_key, (3,)), jax.random.normal(p_key, (3,))
  return make_state(PATH, z), p


def test_leapfrog_equals_float64_numpy(start):
  """Seven steps, with the gradient derived by hand."""
  state, p = start
  end, end_p = flow(state, p)
  gradient = lambda z: -z - 0.4 * z**3 + BETA * (3 * z + 0.4 - 0.4 * z**3)
  z, p = np.asarray(state.z, np.float64), np.asarray(p, np.float64)
  for _ in range(7):
    p = p + 0.5 * 0.21 * gradient(z)
    z = z + 0.21 * p
    p = p + 0.5 * 0.21 * gradient(z)
  np.testing.assert_allclose(end.z, z, atol=1e-5)
  np.testing.assert_allclose(end_p, p, atol=1e-5)


def test_leapfrog_is_reversible(start):
  state, p = start
  end, end_p = flow(state, p)
  assert np.max(np.abs(end.z - state.z)) > 0.3
  back, back_p = flow(end, -end_p)
  np.testing.assert_allclose(back.z, state.z, atol=1e-5)
  np.testing.assert_allclose(back_p, -p, atol=1e-5)


def test_leapfrog_preserves_volume(start):
  def ends(z, p):
    end, end_p = flow(make_state(PATH, z), p)
    return end.z, end_p

  blocks = jax.jacfwd(ends, (0, 1))(start[0].z, start[1])
  sign, log_volume = np.linalg.slogdet(np.block([list(row) for row in blocks]))
  assert sign == 1
  np.testing.assert_allclose(log_volume, 0, atol=1e-4)


def test_energy_error_is_of_second_order(start):
  def error(num_steps):
    end, p = hmc.leapfrog(
      PATH,
      *start,
      beta=BETA,
      step_size=1.2 / num_steps,
      num_leapfrog_steps=num_steps,
    )
    return float(energy(end, p) - energy(*start))

  assert abs(error(8)) > 1e-3
  np.testing.assert_allclose(error(8) / error(16), 4, rtol=0.15)


@pytest.mark.parametrize('moment', MOMENTS)
@pytest.mark.parametrize(
  ('path', 'step_size'), [(PATH, 0.7), (HALF_LINE, 0.2)], ids=['wells', 'half']
)
def test_target_is_invariant(path, step_size, moment):
  """From exact draws, after three transitions, against quadrature."""
  f = MOMENTS[moment]
  _, z = moved(path, 3, step_size)
  helpers.assert_mean(f(z), np.sum(f(GRID) * density(path)))


@pytest.mark.slow
@pytest.mark.parametrize('moment', MOMENTS)
def test_chains_converge_to_the_target(moment):
  f = MOMENTS[moment]
  _, z = moved(PATH, 150, 0.4, start=3.0, n=4000)
  helpers.assert_mean(f(z), np.sum(f(GRID) * density(PATH)))


@pytest.mark.parametrize(
  ('path', 'step_size'), [(PATH, 0.6), (HALF_LINE, 0.2)], ids=['wells', 'half']
)
def test_detailed_balance(path, step_size):
  """(z, z') and (z', z) have equal distributions: antisymmetric means are 0."""
  z, new = moved(path, 1, step_size)
  assert 0.2 < np.mean(z != new) < 0.99
  for f, g in [(np.tanh, np.square), (lambda z: 1.0 * (z > 0.7), np.sin)]:
    helpers.assert_mean(f(z) * g(new) - g(z) * f(new), 0)


def test_step_sizes_vary_within_a_fifth(key):
  """On a flat density a chain moves by L e p, and |p| is about sqrt(D)."""
  flat = Path(lambda z: 0 * jnp.sum(z), lambda z: 0 * jnp.sum(z))
  state = make_state(flat, jnp.zeros(2000))
  move = lambda key: hmc.hmc_transition(
    key, flat, state, beta=BETA, step_size=0.1, num_leapfrog_steps=3
  )[0]
  z = jax.jit(jax.vmap(move))(jax.random.split(key, 400)).z
  factors = np.std(z, axis=1) / 0.3
  helpers.assert_mean(factors, 1)
  assert 0.75 < factors.min() < 0.83
  assert 1.17 < factors.max() < 1.25


def test_transition_returns_the_terms_at_its_position(start, key):
  state, acceptance = hmc.hmc_transition(
    jax.random.fold_in(key, 1),
    PATH,
    start[0],
    beta=BETA,
    step_size=0.05,
    num_leapfrog_steps=3,
  )
  assert acceptance > 0.9
  assert np.all(state.z != start[0].z)
  again = make_state(PATH, state.z)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, 1e-5), state, again
  )


@pytest.mark.parametrize('step_size', [30.0, 1e30])
def test_divergent_trajectories_are_rejected(step_size, start, key):
  state, acceptance = hmc.hmc_transition(
    jax.random.fold_in(key, 1),
    PATH,
    start[0],
    beta=BETA,
    step_size=step_size,
    num_leapfrog_steps=5,
  )
  assert acceptance == 0
  jax.tree.map(np.testing.assert_array_equal, state, start[0])


def test_step_sizes_adapt_to_each_temperature(key):
  """The scale decreases from 1 to 0.1, and the acceptance rate stays 0.65."""
  path = Path(lambda z: -0.5 * jnp.sum(z**2), lambda z: -49.5 * jnp.sum(z**2))
  find_key, start_key, move_key = jax.random.split(key, 3)
  betas = jnp.concatenate([jnp.zeros(150), jnp.ones(150)])
  z = jax.random.normal(start_key, (4, 20))
  find = functools.partial(
    hmc.find_step_sizes, path=path, betas=betas, num_leapfrog_steps=5
  )
  step_sizes = jax.jit(find)(find_key, z=z)
  assert step_sizes.shape == (300,)
  np.testing.assert_allclose(step_sizes[0], 20**-0.25, rtol=0.15)
  early, late = np.mean(step_sizes[100:150]), np.mean(step_sizes[250:])
  np.testing.assert_allclose(early / late, 10, rtol=0.15)

  def acceptance(key, beta, scale, step_size):
    z_key, key = jax.random.split(key)
    state = make_state(path, scale * jax.random.normal(z_key, (20,)))
    return hmc.hmc_transition(
      key, path, state, beta=beta, step_size=step_size, num_leapfrog_steps=5
    )[1]

  many = jax.jit(jax.vmap(acceptance, (0, None, None, None)))
  early_key, late_key = jax.random.split(move_key)
  for key, *setting in [
    (early_key, 0.0, 1.0, early),
    (late_key, 1.0, 0.1, late),
  ]:
    found = np.mean(many(jax.random.split(key, 2000), *setting))
    np.testing.assert_allclose(found, 0.65, atol=0.06)
