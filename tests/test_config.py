import dataclasses

import pytest

from vae_jax.config import Config, EvaluateConfig, PrepareConfig
from vae_jax.errors import UserError


@pytest.mark.parametrize('kind', [Config, EvaluateConfig, PrepareConfig])
def test_defaults_are_valid_and_told(kind):
  for field in dataclasses.fields(kind()):
    assert field.metadata['help']
    assert field.metadata['group']


@pytest.mark.parametrize(
  ('option', 'message'),
  [
    ({'learning_rate': float('nan')}, 'must be a finite number'),
    ({'learning_rate': float('inf')}, 'must be a finite number'),
    ({'learning_rate': -1e-3}, 'must be above 0'),
    ({'learning_rate': 0}, 'must be above 0'),
    ({'batch_size': 0}, 'must be at least 1'),
    ({'hidden_sizes': [200]}, 'must be whole numbers'),
    (
      {'binarisation': 'dynamic', 'likelihood': 'normal'},
      'only --likelihood=b',
    ),
    ({'hidden_sizes': (200, 0)}, 'must be at least 1'),
    ({'latent_dim': 0}, 'must be at least 1'),
    ({'latent_dim': 2.5}, 'must be of type int'),
    ({'num_epochs': -1}, 'must be at least 1'),
    ({'beta': -0.1}, 'must be at least 0'),
    ({'seed': -1}, 'must be at least 0'),
    ({'seed': 2**32}, 'must be at most'),
    ({'num_samples': 0}, 'must be at least 1'),
    ({'nll_num_samples': 0}, 'must be at least 1'),
    ({'activation': 'tahn'}, 'must be one of elu, gelu'),
    ({'platform': 'cuda'}, 'must be one of auto, cpu'),
    ({'posterior': 'cauchy'}, 'must be one of normal'),
  ],
)
def test_impossible_values_are_refused_by_name(option, message):
  with pytest.raises(UserError, match=message) as error:
    Config(**option)
  assert str(error.value).startswith(f'--{next(iter(option))}')
  assert '\n' not in str(error.value)


def test_no_hidden_layers_are_allowed():
  assert Config(hidden_sizes=()).hidden_sizes == ()


def test_a_config_is_frozen():
  with pytest.raises(dataclasses.FrozenInstanceError):
    Config().seed = 3
