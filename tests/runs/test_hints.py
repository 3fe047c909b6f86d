import pytest

from vae_jax.runs import hints
from vae_jax.runs.config import Config, EvaluateConfig


@pytest.mark.parametrize(
  ('flag', 'hint'),
  [
    ('lr', 'learning_rate'),
    ('learning-rate', 'learning_rate'),
    ('learningrate', 'learning_rate'),
    ('optimiser', 'optimizer'),
    ('optim', 'optimizer'),
    ('bs', 'batch_size'),
    ('batch', 'batch_size'),
    ('epochs', 'num_epochs'),
    ('steps', 'num_epochs'),
    ('k', 'num_samples'),
    ('z_dim', 'latent_dim'),
    ('device', 'platform'),
    ('gpu', 'platform'),
    ('output_dir', 'workdir'),
    ('model', 'network'),
    ('loss', 'objective'),
    ('iwae', 'objective'),
    ('vimco', 'estimator'),
    ('kl_weight', 'beta'),
    ('random_seed', 'seed'),
  ],
)
def test_unknown_flag_gets_a_hint(flag, hint):
  line = str(hints.unknown_flag(Config, flag))
  assert line.startswith(f'unknown flag --{flag}: did you mean --{hint}')
  assert '\n' not in line


def test_unknown_flag_names_the_command_that_has_it():
  for flag in ('lr', 'optimizer'):
    line = str(hints.unknown_flag(EvaluateConfig, flag))
    assert 'the command train has --' in line


def test_a_flag_without_a_relative_gets_no_hint():
  for flag in ('qqq', 'version', 'momentum'):
    line = str(hints.unknown_flag(Config, flag))
    assert line == f'unknown flag --{flag}: --help lists them all'
