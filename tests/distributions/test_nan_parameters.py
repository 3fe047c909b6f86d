"""A nan parameter or event of any family gives a nan density.

A nan parameter also gives nan draws.
"""

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


def poison(tree):
  """Returns a tree, and it with nan in each of its leaves in turn, stacked."""
  leaves, structure = jax.tree.flatten(tree)
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
  """Returns log q(z) with nan in a parameter or in z, and the draws."""
  sample = lambda q: plain(vd.sample(jax.random.key(3), q))
  draws = jax.vmap(sample)(poisoned)
  first = lambda tree: jax.tree.map(lambda x: x[:1], tree)
  events = poison(jax.tree.map(lambda x: x[0], draws))
  num_events = len(jax.tree.leaves(events)[0])

  def join(many, one, count):
    """Returns the rows of `many`, then the only one of `one`."""
    repeated = jax.tree.map(lambda x: jnp.repeat(x, count, axis=0), one)
    return jax.tree.map(lambda *x: jnp.concatenate(x), many, repeated)

  num_rows = len(jax.tree.leaves(poisoned)[0])
  log_probs = jax.vmap(lambda q, z: q.log_prob(z))(
    join(poisoned, first(poisoned), num_events - 1),
    jax.tree.map(
      lambda x: jnp.concatenate([jnp.repeat(x[:1], num_rows, axis=0), x[1:]]),
      events,
    ),
  )
  return log_probs, draws


@pytest.mark.quick(
  'Bernoulli',
  'Poisson',
  'DiscretisedLogistic',
  'MultivariateNormal',
  'Chain',
  'Transformed',
  'Normal',
  'StudentT',
  'Pareto',
  'Uniform',
  'Gamma',
)
@pytest.mark.parametrize('name', NAMES)
def test_nan_in_each_parameter_and_event_gives_nan(name):
  log_probs, draws = simulate(poison(EVERY[name]))
  assert np.isfinite(log_probs[0])
  assert np.isnan(log_probs[1:]).all()
  if name not in INTEGERS:
    rows = [jnp.isnan(x).reshape(len(x), -1) for x in jax.tree.leaves(draws)]
    is_nan = np.concatenate(rows, axis=1).any(axis=1)
    assert not is_nan[0]
    assert is_nan[1:].all()


@pytest.mark.parametrize('name', ['Exponential', 'Uniform', 'Gumbel'])
def test_nan_in_the_noise_gives_nan(name):
  q = EVERY[name]
  assert np.isnan(q.noise_log_prob(jnp.full(q.shape, jnp.nan)))
