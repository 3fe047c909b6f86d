"""Command-line scripts: successful runs, and one-line error messages."""

import contextlib
import importlib
import io
import json
import os
import pathlib
import resource
import subprocess
import sys

import jax
import numpy as np
import pytest
from PIL import Image

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


# What people set to find defects in their own programs. Each of them only
# raises or changes a type, so that several are tested in one run.
SETTINGS = {
  'strict': {
    'jax_debug_infs': True,
    'jax_debug_nans': True,
    'jax_numpy_dtype_promotion': 'strict',
    'jax_transfer_guard': 'disallow',
    'jax_legacy_prng_key': 'error',
  },
  'strict float64': {
    'jax_enable_x64': True,
    'jax_numpy_dtype_promotion': 'strict',
  },
  'tracer leaks': {'jax_check_tracer_leaks': True},
  'rbg': {'jax_default_prng_impl': 'rbg'},
}
WEIGHTED = ['--objective=iwae', '--num_samples=2', '--estimator=adaptive']
SMALL = [
  *('--dataset=linear_gaussian', '--likelihood=normal', '--latent_dim=2'),
  *('--form=joint', '--estimator=adaptive', '--nll_num_samples=1'),
]


@pytest.fixture
def settings():
  """Returns a function that sets options of jax until the test ends."""
  before = {}

  def update(**options):
    for name, value in options.items():
      before.setdefault(name, getattr(jax.config, name))
      jax.config.update(name, value)

  yield update
  for name, value in before.items():
    jax.config.update(name, value)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize('name', SETTINGS)
def test_train_and_evaluate_under_settings(name, settings, inside):
  settings(**SETTINGS[name])
  few = '--num_samples=2 --sandwich --num_temperatures=9 --num_chains=2'
  more = '--gaps --dead_units --num_examples=4'
  # Looking for leaks turns off the cache of traces: one small run is slow.
  slow = name == 'tracer leaks'
  for argv in (SMALL,) if slow else (WEIGHTED, SMALL):
    assert call(train.main, *FAST, *argv) == (0, [])
    assert call(evaluate.main, *few.split(), *more.split()) == (0, [])


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
  'empty file': (
    ['--dataset=empty.npz'],
    'shape (0, 8, 8), expected numbers of shape',
  ),
  'missing file': (['--dataset=none.npz'], 'no such file'),
  'missing device': (['--platform=tpu'], 'finds no such device'),
  'weight decay without adamw': (
    ['--weight_decay=0.1'],
    '--weight_decay=0.1 with --optimizer=adam: it belongs to --optimizer=adamw',
  ),
  'negative weight decay': (['--weight_decay=-1'], 'expected at least 0'),
  'negative norm': (['--clip_norm=-1'], 'expected at least 0'),
  'two warm-ups': (
    ['--learning_rate_warmup_steps=2', '--learning_rate_warmup_epochs=1'],
    'the warm-up has one length; leave one of them out',
  ),
  'average that never moves': (['--ema=1'], 'expected a number below 1'),
  'negative patience': (['--patience=-1'], 'expected at least 0'),
  'no training example': (['--train_fraction=0'], 'expected a number above 0'),
  'more than all examples': (['--train_fraction=2'], 'expected at most 1'),
  'fewer training examples than a batch': (
    ['--train_fraction=0.1'],
    'expected at most 138, the training examples of digits',
  ),
  'changes of no run': (
    ['--resume_with_changes'],
    'expected the folder of a run to resume',
  ),
  'unknown optimizer': (['--optimizer=lion'], 'expected one of adam, adamw'),
  'rows of another length': (
    ['--dataset=rows.npy', '--image_shape=8,9'],
    'got rows.npy: images of shape (20, 64), expected [N, 72]',
  ),
  'image shape of one size': (
    ['--image_shape=64'],
    '--image_shape: got 64, expected height and width',
  ),
  'image shape of a set of images': (
    ['--image_shape=8,8'],
    'whose images have a shape',
  ),
  'resize to three sizes': (
    ['--resize=8,8,1'],
    '--resize: got 8,8,1, expected',
  ),
  'resized table': (
    ['--dataset=rows.npy', '--likelihood=normal', '--resize=4,4'],
    'expected images. Use --image_shape, or leave --resize out',
  ),
  'inverted reals': (
    ['--dataset=signed.npy', '--likelihood=normal', '--invert'],
    'expected 8-bit pixels or numbers in [0, 1]',
  ),
  'standardised pixels': (
    ['--standardise', '--likelihood=normal'],
    '--standardise: got --dataset=digits of 8-bit pixels',
  ),
  'standardised, bernoulli likelihood': (
    ['--standardise'],
    '--standardise with --likelihood=bernoulli',
  ),
  'table, bernoulli likelihood': (
    ['--dataset=rows.npy', '--batch_size=9'],
    'has real numbers from 0 to 63, but --likelihood=bernoulli',
  ),
  'numbers that are not finite': (
    ['--dataset=nan.npy'],
    'images have 1 numbers that are infinite',
  ),
  'python objects': (['--dataset=objects.npy'], 'expected an array of numbers'),
  'eleven examples': (['--dataset=few.npy'], 'expected at least 12'),
  'words in a table': (
    ['--dataset=words.csv'],
    "words.csv: got 'b' in line 3, column 2, expected a number",
  ),
  'table without numbers': (['--dataset=empty.csv'], 'got an empty file'),
  'images of two sizes': (
    ['--dataset=pictures'],
    'got 5 x 4 pixels, expected 8 x 8 as 00.png has. Use --resize=8,8',
  ),
  'damaged image': (
    ['--dataset=broken'],
    'a.png: cannot be read as PNG or JPEG',
  ),
  'folder without data': (['--dataset=nothing/'], 'train-00000.npy: missing'),
  'stream of a file': (
    ['--dataset=rows.npy', '--stream=always'],
    'which is read into memory',
  ),
  'learning rate beyond float32': (
    ['--learning_rate=1e308'],
    '--learning_rate: got 1e+308, expected',
  ),
}


def write_odd_data(folder):
  """Writes files and folders that a run refuses."""
  rows = np.arange(20 * 64).reshape(20, 64) % 64
  np.save(folder / 'rows.npy', rows)
  np.save(folder / 'few.npy', np.zeros((11, 8, 8), np.uint8))
  signed = np.linspace(-1, 2, 20 * 64).reshape(20, 8, 8)
  np.save(folder / 'signed.npy', signed)
  signed[3, 0, :2] = np.nan, np.inf
  np.save(folder / 'nan.npy', signed)
  np.save(folder / 'objects.npy', np.array([print] * 20, object))
  (folder / 'words.csv').write_text('x,z\n1,2\n3,b\n')
  (folder / 'empty.csv').touch()
  for name in ('pictures/cat', 'broken/cat', 'nothing'):
    (folder / name).mkdir(parents=True)
  for i, shape in enumerate([(8, 8)] * 12 + [(5, 4)]):
    image = Image.fromarray(np.full(shape, i, np.uint8))
    image.save(folder / f'pictures/cat/{i:02d}.png')
  (folder / 'broken/cat/a.png').write_bytes(b'\x89PNG\r\n\x1a\n broken')


@pytest.mark.parametrize('name', MISTAKES)
def test_error_of_train_is_one_line(name, inside):
  (inside / 'file').touch()
  write_odd_data(inside)
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


@pytest.mark.parametrize('name', [x for x in NAMES if x != 'prepare'])
@pytest.mark.parametrize('folder', ['', '/tmp/'])
def test_a_folder_with_a_long_name_is_named(name, folder, inside):
  main = importlib.import_module(f'experiments.{name}').main
  workdir = folder + 300 * 'w'
  code, errors = call(main, f'--workdir={workdir}')
  assert code == 2
  assert len(errors) == 1
  assert workdir in errors[0]
  assert 'File name too long' in errors[0]
  assert not any(inside.glob('w*'))


def test_error_of_prepare_is_one_line(inside, monkeypatch):
  monkeypatch.setitem(sys.modules, 'tensorflow', None)
  code, errors = call(prepare.main, '--dataset=mnist')
  assert code == 2
  assert len(errors) == 1
  assert 'extra `prepare`' in errors[0]


@pytest.mark.slow
def test_help_lists_flags_and_exits_with_0(capsys):
  with pytest.raises(SystemExit) as stop:
    flags.run(lambda _: train.main(['name', '--help']))
  assert not stop.value.code
  assert '--learning_rate=0.001' in capsys.readouterr().out


def python(name, *argv, **env):
  command = [sys.executable, '-P', '-m', f'experiments.{name}', *argv]
  return subprocess.run(
    command,
    capture_output=True,
    text=True,
    env=os.environ | {'PYTHONPATH': str(ROOT)} | env,
  )


def test_exit_code_of_a_process_without_traceback():
  before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
  # A home that cannot be written, about which matplotlib would warn first.
  argv = ['--dataset=kmnist', '--data_dir=/none']
  result = python('train', *argv, HOME='/proc', MPLCONFIGDIR='')
  seconds = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
  assert result.returncode == 2
  assert len(result.stderr.splitlines()) == 1
  assert 'is not prepared' in result.stderr
  # 2 s of CPU time: a mistake is found before anything is compiled.
  assert seconds < 8


@pytest.mark.slow
def test_a_run_without_standard_error_is_completed(tmp_path):
  few = '--hidden_sizes= --nll_num_samples=1 --report=table --num_epochs=1'
  argv = f'--dataset=linear_gaussian --likelihood=normal {few} --workdir=run'
  result = subprocess.run(
    f'"{sys.executable}" -P -m experiments.train {argv} 2>&-',
    shell=True,
    cwd=tmp_path,
    stdout=subprocess.PIPE,
    env=os.environ | {'PYTHONPATH': str(ROOT)},
  )
  assert result.returncode == 0
  assert (tmp_path / 'run' / 'report.html').is_file()


@pytest.mark.slow
def test_a_platform_of_another_machine_is_one_line():
  result = python('gradient_variance', JAX_PLATFORMS='cuda')
  assert result.returncode == 2
  assert len(result.stderr.splitlines()) == 1
  assert 'JAX_PLATFORMS=cuda' in result.stderr


@pytest.mark.parametrize('name', NAMES)
def test_a_signal_during_the_imports_is_one_line(name, tmp_path):
  for number, code in (('SIGINT', 130), ('SIGTERM', 143)):
    for module in ('absl', 'jax'):
      (tmp_path / f'{module}.py').write_text(
        f'import os, signal\nos.kill(os.getpid(), signal.{number})\n'
      )
    result = python(name, PYTHONPATH=f'{tmp_path}:{ROOT}')
    assert (result.returncode, result.stdout) == (code, '')
    assert result.stderr == f'stopped by {number}\n'


@pytest.mark.long
@pytest.mark.slow
def test_mnist_reaches_the_likelihood_of_the_readme(real_data, inside):
  argv = (
    f'--dataset=mnist --data_dir={real_data / "tfds"} --hidden_sizes=200,200 '
    '--latent_dim=50 --activation=tanh --batch_size=20 --num_epochs=10 '
    '--learning_rate=1e-3 --schedule=cosine --nll_num_samples=1'
  )
  assert call(train.main, *argv.split()) == (0, [])
  assert call(evaluate.main, '--num_samples=500') == (0, [])
  (log,) = (inside / 'runs/mnist/evaluations').glob('*/metrics.jsonl')
  (test,) = map(json.loads, log.read_text().splitlines())
  assert (test['split'], test['nll_num_samples']) == ('test', 500)
  # Three seeds resulted in 96.9 to 97.1.
  assert test['nll'] < 97.5
