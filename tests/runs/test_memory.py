import jax
import jax.numpy as jnp
import optax
import pytest

import vae_jax as vj
from vae_jax.errors import UserError
from vae_jax.runs import Config, memory

SHAPE = (28, 28, 1)
EXAMPLE = jax.ShapeDtypeStruct(SHAPE, jnp.float32)


def check(batch_size=50, num_samples=1, optimizer=None, **options):
  memory.check_fits(
    vj.make_vae(Config(**options).model, SHAPE),
    optimizer or optax.adam(1e-3),
    EXAMPLE,
    batch_size=batch_size,
    num_samples=num_samples,
  )


@pytest.mark.parametrize(
  'options',
  [
    {'hidden_sizes': (10**6, 10**6)},
    {'num_samples': 10**6, 'batch_size': 10**4},
    {'latent_dim': 10**6, 'hidden_sizes': (10**6,)},
  ],
)
def test_step_that_no_machine_can_hold_is_refused(options):
  wanted = r'memory: got a step of .* GiB or more .*expected.*Use smaller'
  with pytest.raises(UserError, match=wanted):
    check(**options)


@pytest.mark.parametrize(
  ('likelihood', 'outputs'),
  [('bernoulli', 784), ('discretised_logistic', 2 * 784)],
)
@pytest.mark.parametrize(
  ('optimizer', 'copies'), [(optax.adam(1e-3), 7), (optax.sgd(1e-3), 3)]
)
def test_state_gradient_samples_and_outputs_are_counted(
  likelihood, outputs, optimizer, copies, monkeypatch
):
  options = {'latent_dim': 3, 'hidden_sizes': (4,), 'likelihood': likelihood}
  vae = vj.make_vae(Config(**options).model, SHAPE)
  params = jax.eval_shape(vae.init, jax.random.key(0))
  count = sum(leaf.size for leaf in jax.tree.leaves(params))
  steps = 4 if copies == 7 else 2  # The counts of steps taken.
  exactly = 4 * (copies * count + steps + 2 * 5 * (3 + outputs))
  sizes = {'batch_size': 2, 'num_samples': 5, 'optimizer': optimizer}
  monkeypatch.setattr(memory, '_memory', lambda: exactly)
  check(**sizes, **options)
  monkeypatch.setattr(memory, '_memory', lambda: exactly - 1)
  with pytest.raises(UserError):
    check(**sizes, **options)


def test_usual_models_fit():
  check(hidden_sizes=(4000, 4000), batch_size=1000, num_samples=5)


def test_memory_of_the_device_is_known():
  assert memory._memory() > 2**20


def test_states_of_all_seeds_are_counted(monkeypatch):
  state = 3 * 4 * 180_000
  monkeypatch.setattr(memory, '_memory', lambda: 8 * state)
  model = vj.make_vae(data_shape=SHAPE, hidden_sizes=(100,))
  check = lambda **seeds: memory.check_fits(
    model, optax.adam(1e-3), EXAMPLE, batch_size=1, num_samples=1, **seeds
  )
  check()
  wanted = 'parameters in each of 8 models.*or fewer --num_seeds'
  with pytest.raises(UserError, match=wanted):
    check(num_seeds=8)
