"""A user's function of the metrics: --on_epoch, and on_epoch= from Python."""

import pathlib
import re
import sys
import types

import pytest

from tests.runs.toy import NUM_EPOCHS, RECIPE, STEPS_PER_EPOCH
from vae_jax.errors import UserError
from vae_jax.runs import loop, on_epoch
from vae_jax.runs.folder import RunFolder


def run(folder, function):
  """Trains the toy with a function of its metrics."""
  recipe = RECIPE._replace(on_epoch=function)
  state = loop.start_or_resume(recipe, folder)
  return loop.train_loop(recipe, folder, state)


def test_numbers_of_each_epoch_are_those_of_the_log(tmp_path):
  found, folder = [], RunFolder.create(tmp_path / 'run')
  run(folder, found.append)
  assert [x['epoch'] for x in found] == [*range(1, NUM_EPOCHS + 1)]
  assert found[0]['step'] == STEPS_PER_EPOCH
  for line in folder.log.read():
    if line['split'] in ('train', 'validation'):
      own = found[line['epoch'] - 1]
      assert own[f'{line["split"]}/elbo'] == line['elbo']


def test_exception_leaves_the_epoch_saved_and_is_not_repeated(tmp_path):
  folder, seen = RunFolder.create(tmp_path / 'run'), []

  def fails_once(numbers):
    seen.append(numbers['epoch'])
    if len(seen) == 1:
      raise LookupError('mine')

  with pytest.raises(LookupError, match='mine'):
    run(folder, fails_once)
  state = run(folder, fails_once)
  assert seen == [1, 2]
  lines = [(x['epoch'], x['split']) for x in folder.log.read()]
  assert len(lines) == len({*lines})
  expected = run(RunFolder.create(tmp_path / 'straight'), lambda numbers: None)
  assert state.train.params['a'] == expected.train.params['a']


README = pathlib.Path(__file__).parents[2] / 'README.md'


def test_recipes_of_the_readme_log_every_number(monkeypatch):
  """With modules that stand for the libraries and record their calls."""
  scalars, logged = [], []

  class SummaryWriter:
    def __init__(self, folder):
      assert folder

    def add_scalar(self, name, value, step):
      scalars.append((name, value, step))

    def flush(self):
      pass

  class Run:
    def log(self, numbers, step):
      logged.append((numbers, step))

  board = types.ModuleType('torch.utils.tensorboard')
  board.SummaryWriter = SummaryWriter
  wandb = types.ModuleType('wandb')
  wandb.init = lambda project: Run()
  for name, module in (
    ('torch', types.ModuleType('torch')),
    ('torch.utils', types.ModuleType('torch.utils')),
    ('torch.utils.tensorboard', board),
    ('wandb', wandb),
  ):
    monkeypatch.setitem(sys.modules, name, module)
  codes = re.findall(r'```py\n(.*?)```', README.read_text(), re.DOTALL)
  assert len(codes) == 2
  numbers = {'epoch': 2, 'step': 54, 'train/elbo': -3.5}
  for code in codes:
    scope = {}
    exec(code, scope)
    scope['log'](numbers)
  assert scalars == [(name, x, 2) for name, x in numbers.items()]
  assert logged == [(numbers, 2)]


@pytest.fixture
def mine(tmp_path, monkeypatch):
  """A module in the present folder, which no other test imports."""
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(sys, 'path', [*sys.path])
  (tmp_path / 'mine_on_epoch.py').write_text(
    'seen = []\n'
    'log = seen.append\n'
    'def fails(numbers):\n'
    '  raise KeyError("x")\n'
    'number = 3\n'
  )
  (tmp_path / 'broken_on_epoch.py').write_text('1 / 0\n')
  yield
  for name in ('mine_on_epoch', 'broken_on_epoch'):
    sys.modules.pop(name, None)


def test_function_is_found_in_the_present_folder(mine):
  assert on_epoch.load('') is None
  on_epoch.load('mine_on_epoch:log')({'epoch': 1})
  assert sys.modules['mine_on_epoch'].seen == [{'epoch': 1}]


def test_exception_of_a_function_names_its_own_line(mine):
  with pytest.raises(UserError) as error:
    on_epoch.load('mine_on_epoch:fails')({'epoch': 2})
  message = str(error.value)
  assert "KeyError: 'x' in " in message
  assert 'mine_on_epoch.py, line 4, after epoch 2, which is saved' in message
  assert isinstance(error.value.__cause__, KeyError)


@pytest.mark.parametrize(
  ('name', 'message'),
  [
    ('mine_on_epoch', 'got no module:function'),
    (':log', 'got no module:function'),
    ('none_on_epoch:log', 'got no module none_on_epoch'),
    ('mine_on_epoch:other', 'got no function other in mine_on_epoch'),
    ('mine_on_epoch:number', 'got no function number'),
    ('broken_on_epoch:log', r'ZeroDivisionError: .* line 1, at its import'),
  ],
)
def test_unsuitable_names_are_one_line(name, message, mine):
  with pytest.raises(UserError, match=message) as error:
    on_epoch.load(name)
  assert '\n' not in str(error.value)
  assert str(error.value).startswith(f'--on_epoch={name}: ')
