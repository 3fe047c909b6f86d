import dataclasses

import pytest

from vae_jax import flags
from vae_jax.config import Config, EvaluateConfig
from vae_jax.errors import UserError


def parse(*argv, kind=Config):
  return flags.parse(kind, ['train', *argv])


def test_every_flag_reaches_its_field():
  config = parse(
    '--dataset=mnist',
    '--hidden_sizes=300,20',
    '--learning_rate=0.5',
    '--num_epochs=7',
    '--seed',
    '3',
  )
  assert config == Config(
    dataset='mnist',
    hidden_sizes=(300, 20),
    learning_rate=0.5,
    num_epochs=7,
    seed=3,
  )
  assert parse() == Config()


@pytest.mark.parametrize(
  ('argument', 'value'),
  [
    ('--monitor_gradients', True),
    ('--monitor_gradients=true', True),
    ('--nomonitor_gradients', False),
    ('--monitor_gradients=false', False),
  ],
)
def test_a_switch_needs_no_value(argument, value):
  assert parse(argument).monitor_gradients is value


def test_no_hidden_layers_are_an_empty_list():
  assert parse('--hidden_sizes=') == Config(hidden_sizes=())


def test_flags_may_come_from_a_file(tmp_path):
  path = tmp_path / 'flags.txt'
  path.write_text('--latent_dim=3\n--beta=0.5\n')
  assert parse(f'--flagfile={path}') == Config(latent_dim=3, beta=0.5)


@pytest.mark.parametrize(
  ('argv', 'message'),
  [
    (
      ['--latent_dims=3'],
      'unknown flag --latent_dims: did you mean --latent_d',
    ),
    (['--lr=1'], 'unknown flag --lr'),
    (['--qqq'], '--help lists them all'),
    (['mnist'], "stray argument 'mnist'"),
    (['--batch_size=ten'], 'batch_size'),
    (['--learning_rate=fast'], 'learning_rate'),
    (['--hidden_sizes=20,x'], 'hidden_sizes.*whole numbers'),
    (['--latent_dim'], 'latent_dim'),
    (['--flagfile=/none'], 'none'),
  ],
)
def test_mistakes_end_in_one_line(argv, message):
  with pytest.raises(UserError, match=message) as error:
    parse(*argv)
  assert '\n' not in str(error.value)


@pytest.mark.parametrize('kind', [Config, EvaluateConfig])
def test_help_has_a_line_a_flag_in_groups(kind, capsys):
  with pytest.raises(SystemExit) as stop:
    parse('--help', kind=kind)
  assert stop.value.code == 0
  lines = capsys.readouterr().out.splitlines()
  for field in dataclasses.fields(kind):
    [line] = [x for x in lines if x.startswith(f'  --{field.name}=')]
    assert field.metadata['help'] in line
    assert field.metadata['group'] in lines
    assert field.metadata.get('unit', '') in line
  assert any('hidden_sizes=200,200' in x for x in lines) or kind != Config


def test_run_turns_mistakes_into_exit_codes(capsys):
  def wrong(argv):
    raise UserError('what and where')

  with pytest.raises(SystemExit) as stop:
    flags.run(wrong)
  assert stop.value.code == 2
  assert capsys.readouterr().err == 'error: what and where\n'

  def interrupted(argv):
    raise KeyboardInterrupt

  with pytest.raises(SystemExit) as stop:
    flags.run(interrupted)
  assert stop.value.code == 130
