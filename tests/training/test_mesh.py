"""Losses, steps and evaluations on a mesh of several devices."""

import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.training import mesh as meshes

ROOT = pathlib.Path(__file__).parents[2]

EXPLICIT = """
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P

import vae_jax as vj

mesh = jax.make_mesh((2,), ('batch',), axis_types=(AxisType.Explicit,))
model = vj.make_vae(data_shape=(4, 4), latent_dim=3, hidden_sizes=(5,))
params = model.init(jax.random.key(0))
x = jnp.round(jax.random.uniform(jax.random.key(1), (8, 4, 4)))
for options in (
  {},
  {'objective': 'iwae', 'num_samples': 2, 'estimator': 'dreg'},
  {'estimator': 'adaptive'},
):
  step = jax.jit(jax.value_and_grad(vj.make_loss(model, **options), 1, True))
  (value, _), gradient = step(jax.random.key(2), params, x)
  with jax.set_mesh(mesh):
    batch = jax.device_put(x, NamedSharding(mesh, P('batch')))
    (sharded, terms), other = step(jax.random.key(2), params, batch)
  assert jax.typeof(next(iter(terms.values()))).sharding.spec == P('batch')
  close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
  jax.tree.map(close, (value, gradient), (sharded, other))
print('equal')
"""

# Steps whose state collects what is drawn, and sums of whole numbers, which no
# order of addition rounds.
DRAWS = """
import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.training import epoch, mesh as meshes, steps as training
from vae_jax.training.loss import example_keys
from vae_jax.training.train_step import TrainState

PIXELS = jax.random.uniform(jax.random.key(0), (100, 6, 6))

def preprocess(key, x):
  return jax.random.bernoulli(key, x).astype(jnp.float32)

def step(key, state, batch):
  bits = jax.vmap(lambda key: jax.random.bits(key, (3,)))(
    example_keys(key, batch)
  )
  params = {
    'pixels': batch + 2 * state.params['pixels'],
    'bits': (bits >> 12).astype(jnp.float32),
    'sum': jnp.sum(batch),
  }
  metrics = {'elbo': jnp.sum(batch), 'grad_norm': jnp.zeros(())}
  return TrainState(state.step + 1, params, {}), metrics

def run(mesh, make):
  params = {
    'pixels': jnp.zeros((16, 6, 6)),
    'bits': jnp.zeros((16, 3)),
    'sum': jnp.zeros(()),
  }
  state = epoch.init_run_state(
    TrainState(jnp.zeros((), jnp.int32), params, {}), ('elbo', 'grad_norm')
  )
  keys = jax.random.key(1), jax.random.key(2)
  x, *keys, state = meshes.place((PIXELS, *keys, state), mesh)
  batches = epoch.make_resident(keys[0], x, 16)
  steps = make(
    meshes.shard_step(step, mesh), meshes.shard_preprocess(preprocess, mesh)
  )
  for count in (1, 5):
    state, finite = steps(keys[1], state, batches(state), count)
    assert finite
    assert all(x.is_fully_replicated for x in jax.tree.leaves(state))
  assert steps._cache_size() == 1
  return jax.device_get(state)

for make in (training.make_steps, training.make_skipping_steps):
  one = run(None, make)
  assert len(np.unique(one.train.params['pixels'])) > 16
  several = run(meshes.make_mesh(jax.devices()), make)
  jax.tree.map(np.testing.assert_array_equal, one, several)
print('equal')
"""

EVALUATIONS = """
import jax
import jax.numpy as jnp
import numpy as np

import vae_jax as vj
from vae_jax import evaluate
from vae_jax.runs import Config
from vae_jax.training.mesh import make_mesh

mesh = make_mesh(jax.devices())
assert mesh.size == 8
model = vj.make_vae(data_shape=(4, 4), latent_dim=2, hidden_sizes=(5,))
params = model.init(jax.random.key(0))
# 13 examples on 8 devices: the end is padded.
x = jnp.round(jax.random.uniform(jax.random.key(1), (13, 4, 4)))
given = lambda: (jax.random.key(2), model, params, x)
annealing = {'num_chains': 2, 'num_temperatures': 3}
options = Config(objective='iwae', num_samples=2).objective
for measure in (
  lambda mesh: vj.estimate_nll(*given(), num_samples=5, mesh=mesh),
  lambda mesh: evaluate.make_evaluate_elbo(model, mesh)(
    jax.random.key(2), params, x
  ),
  lambda mesh: evaluate.make_evaluate_bound(model, options, mesh)(
    jax.random.key(2), params, x
  ),
  lambda mesh: vj.measure_gaps(*given(), num_steps=2, mesh=mesh),
  lambda mesh: vj.estimate_ais(*given(), mesh=mesh, **annealing),
  lambda mesh: vj.estimate_sandwich(
    *given(), num_examples=5, mesh=mesh, **annealing
  ),
):
  close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
  jax.tree.map(close, measure(None), measure(mesh))
print('equal')
"""


def run(code, num_devices):
  result = subprocess.run(
    [sys.executable, '-P', '-c', code],
    capture_output=True,
    text=True,
    env={
      'XLA_FLAGS': f'--xla_force_host_platform_device_count={num_devices}',
      'JAX_PLATFORMS': 'cpu',
      # Most of the time is that of compiling.
      'JAX_DISABLE_MOST_OPTIMIZATIONS': 'true',
      'PYTHONPATH': str(ROOT),
    },
  )
  assert result.stdout == 'equal\n', result.stderr[-2000:]


@pytest.mark.slow
def test_a_sharded_batch_gives_the_loss_of_one_device():
  run(EXPLICIT, 2)


@pytest.mark.slow
def test_draws_do_not_depend_on_the_number_of_devices():
  run(DRAWS, 8)


@pytest.mark.long
@pytest.mark.slow
def test_sharded_evaluations_differ_by_rounding_from_one_device():
  run(EVALUATIONS, 8)


def test_a_chunk_gives_each_device_as_many_examples():
  class Mesh:
    size = 8

  assert meshes.chunk_size(10, 64, None) == 10
  assert meshes.chunk_size(100, 64, None) == 64
  assert meshes.chunk_size(10, 64, Mesh) == 16
  assert meshes.chunk_size(1000, 64, Mesh) == 512


def test_one_device_is_a_mesh_too(key):
  mesh = meshes.make_mesh(jax.devices()[:1])
  tree = {'key': key, 'x': np.arange(3.0), 'scalar': 2.0}
  placed = meshes.place(tree, mesh)
  # An array that is there already is not copied.
  again = meshes.place(placed, mesh)
  assert all(again[name] is placed[name] for name in placed)
  assert (jax.random.key_data(placed['key']) == jax.random.key_data(key)).all()
  x = meshes.fetch(placed['x'], mesh)
  np.testing.assert_array_equal(x, tree['x'])
  assert not x.committed
  square = meshes.over_examples(lambda scale, x: scale * x**2, (None, 0), mesh)
  found = meshes.jit(square, mesh)(2.0, jnp.arange(3.0))
  np.testing.assert_array_equal(found, [0, 2, 8])
