"""Every experiment runs, and every mistake ends in one line."""

import importlib
import json
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest

from experiments import evaluate, prepare, train
from vae_jax import flags

ROOT = pathlib.Path(__file__).parent.parent
NAMES = sorted(
  path.stem
  for path in (ROOT / 'experiments').glob('*.py')
  if path.stem != '__init__'
)
FAST = ['--num_epochs=1', '--batch_size=700', '--hidden_sizes=8']


def outcome(main, *argv):
  """Returns (exit code, stderr lines) as the shell would see them."""
  import contextlib
  import io

  out, err = io.StringIO(), io.StringIO()
  code = 0
  with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
    try:
      flags.run(lambda _: main(['name', *argv]))
    except SystemExit as stop:
      code = stop.code
  return code, err.getvalue().splitlines()


@pytest.mark.parametrize('name', NAMES)
def test_every_experiment_says_what_it_does(name):
  module = importlib.import_module(f'experiments.{name}')
  for word in ('COMMAND: ', 'EXPECTED: ', 'WALL TIME: '):
    assert word in module.__doc__


def test_train_then_evaluate(inside):
  """Two steps of the embedded set, then the newest run without naming it."""
  code, errors = outcome(train.main, *FAST)
  assert (code, errors) == (0, [])
  assert (inside / 'runs/digits/figures/learning_curve.png').is_file()
  code, errors = outcome(evaluate.main, '--num_samples=2')
  assert (code, errors) == (0, [])
  # The same run, its architecture edited.
  path = inside / 'runs/digits/config.json'
  text = path.read_text()
  path.write_text(text.replace('"latent_dim": 10', '"latent_dim": 7'))
  code, errors = outcome(evaluate.main, '--num_samples=2')
  assert code == 2
  assert len(errors) == 1
  assert 'is float32[10, 8], the model wants float32[7, 8]' in errors[0]


MISTAKES = {
  'unknown dataset': (['--dataset=mnits'], "did you mean 'mnist'"),
  'not prepared': (
    ['--dataset=kmnist', '--data_dir=nowhere'],
    './launch.sh prepare --dataset=kmnist --data_dir=nowhere',
  ),
  'unknown flag': (['--qqq=1'], 'unknown flag --qqq'),
  'misspelt flag': (['--batchsize=3'], 'did you mean --batch_size'),
  'stray argument': (['mnist'], "stray argument 'mnist'"),
  'nan rate': (['--learning_rate=nan'], 'must be a finite number'),
  'negative rate': (['--learning_rate=-1'], 'must be above 0'),
  'batch of none': (['--batch_size=0'], 'must be at least 1'),
  'batch too large': (['--batch_size=9999'], 'has 1375 images'),
  'no latent': (['--latent_dim=0'], 'must be at least 1'),
  'workdir is a file': (['--workdir=file'], 'is a file, must be a folder'),
  'workdir below a file': (['--workdir=file/a'], 'cannot be written to'),
  'reals as zeros and ones': (
    ['--dataset=linear_gaussian'],
    'use --likelihood=normal',
  ),
  'binarised reals': (
    ['--likelihood=normal', '--binarisation=dynamic'],
    'only --likelihood=bernoulli takes zeros and ones',
  ),
  'reals as pixels': (
    ['--dataset=linear_gaussian', '--likelihood=discretised_logistic'],
    'use --likelihood=normal, normal_fixed or normal_optimal',
  ),
  'sigma of none': (['--sigma=0.2'], 'belongs to --likelihood=normal_fixed'),
  'grey pixels': (['--binarisation=none'], 'use --binarisation=dynamic'),
  'corrupt file': (['--dataset=bad.npz'], 'may be damaged'),
  'empty file': (['--dataset=empty.npz'], 'shape (0, 8, 8): must be'),
  'missing file': (['--dataset=none.npz'], 'no such file'),
  'missing device': (['--platform=tpu'], 'finds no such device'),
}


@pytest.mark.parametrize('name', MISTAKES)
def test_mistakes_in_training_end_in_one_line(name, inside):
  (inside / 'file').touch()
  (inside / 'bad.npz').write_bytes(b'PK broken')
  np.savez(inside / 'empty.npz', images=np.zeros((0, 8, 8), np.uint8))
  argv, message = MISTAKES[name]
  code, errors = outcome(train.main, *FAST, *argv)
  assert code == 2
  assert len(errors) == 1
  assert errors[0].startswith('error: ')
  assert message in errors[0]


@pytest.mark.parametrize(
  ('argv', 'message'),
  [
    (['--workdir=.'], 'holds no run'),
    ([], 'no run in'),
    (['--num_samples=0'], 'must be at least 1'),
    (['--split=nonsense'], 'must be one of train, validation, test'),
  ],
)
def test_mistakes_in_evaluation_end_in_one_line(argv, message, inside):
  code, errors = outcome(evaluate.main, *argv)
  assert code == 2
  assert len(errors) == 1
  assert message in errors[0]


def test_mistakes_in_preparation_end_in_one_line(inside, monkeypatch):
  monkeypatch.setitem(sys.modules, 'tensorflow', None)
  code, errors = outcome(prepare.main, '--dataset=mnist')
  assert code == 2
  assert len(errors) == 1
  assert 'extra `prepare`' in errors[0]


def shell(*argv):
  return subprocess.run(
    [sys.executable, '-m', *argv], capture_output=True, text=True, cwd=ROOT
  )


def test_the_shell_sees_exit_codes_and_no_traceback():
  result = shell('experiments.train', '--help')
  assert result.returncode == 0
  assert '--learning_rate=0.001' in result.stdout
  started = time.monotonic()
  result = shell('experiments.train', '--dataset=kmnist', '--data_dir=/none')
  seconds = time.monotonic() - started
  assert result.returncode == 2
  assert len(result.stderr.splitlines()) == 1
  assert 'is not prepared' in result.stderr
  # 2 s on a machine that does nothing else; this one runs the suite.
  assert seconds < 8


@pytest.mark.slow
def test_mnist_reaches_the_likelihood_of_the_readme(real_data, inside):
  argv = (
    f'--dataset=mnist --data_dir={real_data / "tfds"} --hidden_sizes=200,200 '
    '--latent_dim=50 --activation=tanh --batch_size=20 --num_epochs=10 '
    '--learning_rate=1e-3 --schedule=cosine --nll_num_samples=1'
  )
  assert outcome(train.main, *argv.split()) == (0, [])
  assert outcome(evaluate.main, '--num_samples=500') == (0, [])
  lines = (inside / 'runs/mnist/metrics.jsonl').read_text().splitlines()
  test = json.loads(lines[-1])
  assert (test['split'], test['nll_num_samples']) == ('test', 500)
  # Three seeds gave 96.9 to 97.1.
  assert test['nll'] < 97.5
