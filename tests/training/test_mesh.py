"""Losses on a mesh of two devices with explicit axes."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]

CODE = """
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


@pytest.mark.slow
def test_a_sharded_batch_gives_the_loss_of_one_device():
  flags = '--xla_force_host_platform_device_count=2'
  result = subprocess.run(
    [sys.executable, '-c', CODE],
    capture_output=True,
    text=True,
    env={'XLA_FLAGS': flags, 'JAX_PLATFORMS': 'cpu', 'PYTHONPATH': str(ROOT)},
  )
  assert result.stdout == 'equal\n', result.stderr[-2000:]
