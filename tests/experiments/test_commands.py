"""Command-line scripts: successful runs, and one-line error messages."""

import contextlib
import importlib
import io
import json
import pathlib
import resource
import subprocess
import sys

import numpy as np
import pytest

from experiments import evaluate, prepare, train
from vae_jax.runs import flags

ROOT = pathlib.Path(__file__).parents[2]
NAMES = sorted(
  path.stem
  for path in (ROOT / 'experiments').glob('*.py')
  if path.stem != '__init__'
)
FAST = ['--num_epochs=1', '--batch_size=700', '--hidden_sizes=8']


def call(main, *argv):
  """Returns the exit code and the lines of stderr."""
  out, err = io.StringIO(), io.StringIO()
  code = 0
  with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
    try:
      flags.run(lambda _: main(['name', *argv]))
    except SystemExit as stop:
      code = stop.code
  return code, err.getvalue().splitlines()


@pytest.mark.parametrize('name', NAMES)
def test_every_script_documents_its_use(name):
  module = importlib.import_module(f'experiments.{name}')
  for word in ('COMMAND: ', 'EXPECTED: ', 'WALL TIME: '):
    assert word in module.__doc__


def test_train_then_evaluate(inside):
  """The default of --workdir of `evaluate` is the newest run."""
  small = '--dataset=linear_gaussian --likelihood=normal --latent_dim=2'
  assert call(train.main, *FAST, *small.split(), '--nll_num_samples=1') == (
    0,
    [],
  )
  folder = inside / 'runs/linear_gaussian'
  assert (folder / 'figures/learning_curve.png').is_file()
  assert call(evaluate.main, '--num_samples=1') == (0, [])
  # A config of another architecture.
  path = folder / 'config.json'
  text = path.read_text()
  path.write_text(text.replace('"latent_dim": 2', '"latent_dim": 7'))
  code, errors = call(evaluate.main, '--num_samples=1')
  assert code == 2
  assert len(errors) == 1
  assert 'is float32[2, 8], the model expects float32[7, 8]' in errors[0]


MISTAKES = {
  'unknown dataset': (['--dataset=mnits'], "did you mean 'mnist'"),
  'not prepared': (
    ['--dataset=kmnist', '--data_dir=nowhere'],
    './launch.sh prepare --dataset=kmnist --data_dir=nowhere',
  ),
  'unknown flag': (['--qqq=1'], 'unknown flag --qqq'),
  'misspelt flag': (['--batchsize=3'], 'did you mean --batch_size'),
  'stray argument': (['mnist'], "stray argument 'mnist'"),
  'learning rate of nan': (['--learning_rate=nan'], 'expected a finite number'),
  'negative learning rate': (
    ['--learning_rate=-1'],
    'expected a number above 0',
  ),
  'batch size of 0': (['--batch_size=0'], 'expected at least 1'),
  'batch size above the data size': (
    ['--batch_size=9999'],
    'expected at most 1375',
  ),
  '0 latent dimensions': (['--latent_dim=0'], 'expected at least 1'),
  'workdir is a file': (['--workdir=file'], 'got a file, expected a folder'),
  'workdir below a file': (
    ['--workdir=file/a'],
    'a folder that is not writable',
  ),
  'real data, bernoulli likelihood': (
    ['--dataset=linear_gaussian'],
    'use --likelihood=normal',
  ),
  'binarised data, normal likelihood': (
    ['--likelihood=normal', '--binarisation=dynamic'],
    'only --likelihood=bernoulli takes zeros and ones',
  ),
  'real data, pixel likelihood': (
    ['--dataset=linear_gaussian', '--likelihood=discretised_logistic'],
    'use --likelihood=normal, normal_fixed or normal_optimal',
  ),
  'sigma without a likelihood of fixed sigma': (
    ['--sigma=0.2'],
    'belongs to --likelihood=normal_fixed',
  ),
  'grey pixels, bernoulli likelihood': (
    ['--binarisation=none'],
    'use --binarisation=dynamic',
  ),
  'corrupt file': (['--dataset=bad.npz'], 'may be damaged'),
  'empty file': (['--dataset=empty.npz'], 'shape (0, 8, 8), expected uint8'),
  'missing file': (['--dataset=none.npz'], 'no such file'),
  'missing device': (['--platform=tpu'], 'finds no such device'),
}


@pytest.mark.parametrize('name', MISTAKES)
def test_error_of_train_is_one_line(name, inside):
  (inside / 'file').touch()
  (inside / 'bad.npz').write_bytes(b'PK broken')
  np.savez(inside / 'empty.npz', images=np.zeros((0, 8, 8), np.uint8))
  argv, message = MISTAKES[name]
  code, errors = call(train.main, *FAST, *argv)
  assert code == 2
  assert len(errors) == 1
  assert errors[0].startswith('error: ')
  assert message in errors[0]


@pytest.mark.parametrize(
  ('argv', 'message'),
  [
    (['--workdir=.'], 'holds no run'),
    ([], 'no run in'),
    (['--num_samples=0'], 'expected at least 1'),
    (['--split=nonsense'], 'expected one of train, validation, test'),
  ],
)
def test_error_of_evaluate_is_one_line(argv, message, inside):
  code, errors = call(evaluate.main, *argv)
  assert code == 2
  assert len(errors) == 1
  assert message in errors[0]


def test_error_of_prepare_is_one_line(inside, monkeypatch):
  monkeypatch.setitem(sys.modules, 'tensorflow', None)
  code, errors = call(prepare.main, '--dataset=mnist')
  assert code == 2
  assert len(errors) == 1
  assert 'extra `prepare`' in errors[0]


def test_help_lists_flags_and_exits_with_0(capsys):
  with pytest.raises(SystemExit) as stop:
    flags.run(lambda _: train.main(['name', '--help']))
  assert not stop.value.code
  assert '--learning_rate=0.001' in capsys.readouterr().out


def test_exit_code_of_a_process_without_traceback():
  argv = ['experiments.train', '--dataset=kmnist', '--data_dir=/none']
  before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
  result = subprocess.run(
    [sys.executable, '-m', *argv], capture_output=True, text=True, cwd=ROOT
  )
  seconds = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
  assert result.returncode == 2
  assert len(result.stderr.splitlines()) == 1
  assert 'is not prepared' in result.stderr
  # 2 s of CPU time: a mistake is found before anything is compiled.
  assert seconds < 8


@pytest.mark.slow
def test_mnist_reaches_the_likelihood_of_the_readme(real_data, inside):
  argv = (
    f'--dataset=mnist --data_dir={real_data / "tfds"} --hidden_sizes=200,200 '
    '--latent_dim=50 --activation=tanh --batch_size=20 --num_epochs=10 '
    '--learning_rate=1e-3 --schedule=cosine --nll_num_samples=1'
  )
  assert call(train.main, *argv.split()) == (0, [])
  assert call(evaluate.main, '--num_samples=500') == (0, [])
  lines = (inside / 'runs/mnist/metrics.jsonl').read_text().splitlines()
  test = json.loads(lines[-1])
  assert (test['split'], test['nll_num_samples']) == ('test', 500)
  # Three seeds resulted in 96.9 to 97.1.
  assert test['nll'] < 97.5
