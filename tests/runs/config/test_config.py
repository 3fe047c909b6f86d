import dataclasses
import inspect
import json

import pytest

from vae_jax.errors import UserError
from vae_jax.models.make import make_vae
from vae_jax.runs.config import (
  CompareConfig,
  CompressConfig,
  Config,
  EncodeConfig,
  EvaluateConfig,
  ExportConfig,
  ModelOptions,
  ObjectiveOptions,
  OptimizerOptions,
  PrepareConfig,
  ReconstructConfig,
  RunOptions,
  SampleConfig,
  SweepConfig,
)
from vae_jax.runs.config.options import option_fields
from vae_jax.training import make_loss, make_optimizer


@pytest.mark.parametrize(
  'kind',
  [
    *(CompareConfig, CompressConfig, Config, EncodeConfig, EvaluateConfig),
    *(
      ExportConfig,
      PrepareConfig,
      ReconstructConfig,
      SampleConfig,
      SweepConfig,
    ),
  ],
)
def test_defaults_are_valid_and_documented(kind):
  kind()
  for field in option_fields(kind):
    assert field.metadata['help']
    assert field.metadata['group']


def test_no_option_belongs_to_two_parts():
  names = [field.name for field in option_fields(Config)]
  assert len(names) == len(set(names))
  assert list(Config().flat()) == names


@pytest.mark.parametrize(
  ('option', 'message'),
  [
    ({'learning_rate': float('nan')}, 'expected a finite number'),
    ({'learning_rate': float('inf')}, 'expected a finite number'),
    ({'learning_rate': -1e-3}, 'expected a number above 0'),
    ({'learning_rate': 0}, 'expected a number above 0'),
    ({'batch_size': 0}, 'expected at least 1'),
    ({'hidden_sizes': [200]}, 'expected whole numbers'),
    (
      {'binarisation': 'dynamic', 'likelihood': 'normal'},
      'only --likelihood=b',
    ),
    ({'hidden_sizes': (200, 0)}, 'expected at least 1'),
    ({'latent_dim': 0}, 'expected at least 1'),
    ({'latent_dim': 2.5}, 'expected a value of type int'),
    ({'num_epochs': -1}, 'expected at least 1'),
    ({'beta': -0.1}, 'expected at least 0'),
    ({'seed': -1}, 'expected at least 0'),
    ({'seed': 2**32}, 'expected at most'),
    ({'num_samples': 0}, 'expected at least 1'),
    ({'nll_num_samples': 0}, 'expected at least 1'),
    ({'activation': 'tahn'}, 'expected one of elu, gelu'),
    ({'platform': 'cuda'}, 'expected one of auto, cpu'),
    ({'posterior': 'cauchy'}, 'expected one of normal'),
  ],
)
def test_impossible_values_are_refused_by_name(option, message):
  with pytest.raises(UserError, match=message) as error:
    Config(**option)
  assert str(error.value).startswith(f'--{next(iter(option))}')
  assert '\n' not in str(error.value)


def test_no_hidden_layers_are_allowed():
  assert Config(hidden_sizes=()).model.hidden_sizes == ()


def test_a_config_is_frozen():
  with pytest.raises(dataclasses.FrozenInstanceError):
    Config().run = RunOptions(seed=3)
  with pytest.raises(dataclasses.FrozenInstanceError):
    Config().run.seed = 3


def test_options_are_given_by_flag_name_or_by_part():
  config = Config(latent_dim=3, objective='iwae', num_samples=2)
  assert config.model == ModelOptions(latent_dim=3)
  assert config.objective == ObjectiveOptions(objective='iwae', num_samples=2)
  parts = {'model': config.model, 'objective': config.objective}
  assert Config(**parts) == config
  with pytest.raises(TypeError, match='latent_dim beside the whole part model'):
    Config(**parts, latent_dim=2)
  with pytest.raises(TypeError, match="unknown option 'latent_size'"):
    Config(latent_size=2)


def test_replace_keeps_the_other_options():
  config = Config(latent_dim=3, objective='iwae', num_samples=2)
  other = config.replace(estimator='dreg', seed=4)
  assert other.flat() == config.flat() | {'estimator': 'dreg', 'seed': 4}


def test_records_are_read_back():
  config = Config(hidden_sizes=(3, 4), objective='iwae', num_samples=2)
  record = json.loads(json.dumps(config.record()))
  assert set(record) == {'data', 'model', 'objective', 'optimizer', 'run'}
  assert Config.from_record(record) == config
  # A run of an older version had one seed.
  del record['run']['num_seeds']
  assert Config.from_record(record) == config
  del record['model']['prior'], record['run']['seed']
  with pytest.raises(UserError, match='it has no prior, seed'):
    Config.from_record(record)


def test_flat_records_are_read_with_the_old_name_of_adaptive():
  config = Config(hidden_sizes=(3, 4), estimator='adaptive')
  flat = json.loads(json.dumps(config.flat())) | {'estimator': 'mixture'}
  del flat['network'], flat['optimizer']
  assert Config.from_record(flat | {'versions': {}}) == config
  del flat['beta']
  with pytest.raises(UserError, match='it has no beta'):
    Config.from_record(flat)


def test_a_part_is_the_keyword_arguments_of_its_function():
  for function, part in (
    (make_vae, ModelOptions),
    (make_loss, ObjectiveOptions),
    (make_optimizer, OptimizerOptions),
  ):
    defaults = {
      name: parameter.default
      for name, parameter in inspect.signature(function).parameters.items()
      if parameter.kind is parameter.KEYWORD_ONLY
    }
    options = dataclasses.asdict(part())
    both = defaults.keys() & options.keys()
    assert len(both) >= 3
    # The length of a run has no default that would fit all.
    for name in both - {'num_epochs'}:
      assert defaults[name] == options[name], name
