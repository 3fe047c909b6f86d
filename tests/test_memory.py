import jax
import pytest

import vae_jax as vj
from vae_jax import memory
from vae_jax.errors import UserError

SHAPE = (28, 28, 1)


def check(**options):
  config = vj.Config(**options)
  memory.check_fits(config, vj.make_vae(config, SHAPE), SHAPE)


@pytest.mark.parametrize(
  'options',
  [
    {'hidden_sizes': (10**6, 10**6)},
    {'num_samples': 10**6, 'batch_size': 10**4},
    {'latent_dim': 10**6, 'hidden_sizes': (10**6,)},
  ],
)
def test_what_no_machine_holds_is_refused_before_it_is_made(options):
  with pytest.raises(UserError, match=r'a step needs .* GiB.*has .*smaller'):
    check(**options)


def test_the_parameters_and_the_draws_are_counted(monkeypatch):
  config = vj.Config(latent_dim=3, hidden_sizes=(4,), batch_size=2)
  vae = vj.make_vae(config, SHAPE)
  params = vae.init(jax.random.key(0))
  count = sum(leaf.size for leaf in jax.tree.leaves(params))
  exactly = 4 * (4 * count + 2 * (3 + 4 + 784))
  monkeypatch.setattr(memory, '_memory', lambda: exactly)
  memory.check_fits(config, vae, SHAPE)
  monkeypatch.setattr(memory, '_memory', lambda: exactly - 1)
  with pytest.raises(UserError):
    memory.check_fits(config, vae, SHAPE)


def test_what_people_train_fits():
  check(hidden_sizes=(4000, 4000), batch_size=1000, num_samples=5)
