"""A nan parameter of any family gives nan densities and draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax.distributions as vd
from tests.distributions.test_capabilities import EVERY
from vae_jax.distributions.logged_draw import plain

# Labels are integers, which have no nan.
INTEGERS = ('Categorical',)
NAMES = [name for name in EVERY if name != 'independent Chain']


def poison(q):
  """Returns q, and q with nan in each of its parameters in turn, stacked."""
  leaves, structure = jax.tree.flatten(q)
  leaves = [jnp.asarray(leaf, float) for leaf in leaves]
  rows = [leaves]
  for i, leaf in enumerate(leaves):
    # In every component of a mixture: one that is not drawn has no effect.
    changed = leaf.at[..., :1].set(jnp.nan) if leaf.ndim else jnp.nan * leaf
    rows.append([*leaves[:i], changed, *leaves[i + 1 :]])
  stacked = [jnp.stack(each) for each in zip(*rows, strict=True)]
  return jax.tree.unflatten(structure, stacked)


@jax.jit
def simulate(poisoned):
  sample = lambda q: plain(vd.sample(jax.random.key(3), q))
  draws = jax.vmap(sample)(poisoned)
  z = jax.tree.map(lambda x: x[0], draws)
  log_probs = jax.vmap(lambda q, z: q.log_prob(z), (0, None))(poisoned, z)
  return log_probs, draws


@pytest.mark.parametrize('name', NAMES)
def test_nan_in_each_parameter_gives_nan(name):
  log_probs, draws = simulate(poison(EVERY[name]))
  assert np.isfinite(log_probs[0])
  assert np.isnan(log_probs[1:]).all()
  if name not in INTEGERS:
    rows = [jnp.isnan(x).reshape(len(x), -1) for x in jax.tree.leaves(draws)]
    is_nan = np.concatenate(rows, axis=1).any(axis=1)
    assert not is_nan[0]
    assert is_nan[1:].all()
