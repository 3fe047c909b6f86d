"""The built wheel outside the clone: alone, and with the commands."""

import os
import pathlib
import re
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parent.parent
pytestmark = pytest.mark.slow


def run(*argv, cwd, **env):
  keep = {k: v for k, v in os.environ.items() if k != 'PYTHONPATH'}
  return subprocess.run(
    list(map(str, argv)),
    capture_output=True,
    text=True,
    cwd=cwd,
    env=keep | {'JAX_DISABLE_MOST_OPTIMIZATIONS': '1'} | env,
  )


@pytest.fixture(scope='module')
def fresh(tmp_path_factory):
  """Returns the Python of a new environment; skips where no index answers."""
  folder = tmp_path_factory.mktemp('fresh')
  made = run(sys.executable, '-m', 'venv', 'venv', cwd=folder)
  assert made.returncode == 0, made.stderr
  python = folder / 'venv' / 'bin' / 'python'
  asked = run(
    *(python, '-m', 'pip', 'download', '--no-deps', '--retries=0'),
    *('--dest', folder, 'hatchling'),
    cwd=folder,
  )
  if asked.returncode:
    pytest.skip('no package index answers')
  return python


@pytest.fixture(scope='module')
def wheel(fresh):
  folder = fresh.parents[2]
  built = run(
    *(fresh, '-m', 'pip', 'wheel', '--no-deps', '--wheel-dir', folder, ROOT),
    cwd=folder,
  )
  assert built.returncode == 0, built.stderr
  [path] = folder.glob('vae_jax-*.whl')
  return path


def own_vae():
  """Returns the README's VAE with random data and few steps."""
  readme = (ROOT / 'README.md').read_text()
  blocks = re.findall(r'```python\n(.*?)```', readme, re.DOTALL)
  [code] = [each for each in blocks if 'optax.adam' in each]
  for old, new in (
    ('from sklearn.datasets import load_digits\n', ''),
    (
      'jnp.round(load_digits().images.reshape(-1, 64) / 16)',
      'jax.random.bernoulli(jax.random.key(9), 0.5, (256, 64)) * 1.0',
    ),
    ('1000)', '20)'),
  ):
    assert old in code
    code = code.replace(old, new)
  return code


MORE = """
import jax, vae_jax as vj
vae = vj.make_vae(data_shape=(64,), hidden_sizes=(8,))
params, _ = vj.fit(
  jax.random.key(0), vae, images, num_epochs=1, batch_size=64)
nll = vj.estimate_nll(jax.random.key(1), vae, params, images, num_samples=2)
ais = vj.estimate_ais(
  jax.random.key(2), vae, params, images[:4], num_chains=2, num_temperatures=5)
print('version', vj.__version__, 'in', vj.__file__)
"""


def test_the_wheel_alone_trains_the_vae_of_the_readme(fresh, wheel, tmp_path):
  done = run(
    *(fresh, '-m', 'pip', 'install', '--no-compile', wheel), cwd=tmp_path
  )
  assert done.returncode == 0, done.stderr
  (tmp_path / 'own.py').write_text(own_vae() + MORE)
  result = run(fresh, 'own.py', cwd=tmp_path)
  assert result.returncode == 0, result.stderr
  assert re.search(r'^ELBO -?[\d.]+ nats$', result.stdout, re.MULTILINE)
  assert f'in {fresh.parents[1]}' in result.stdout
  result = run(fresh.parent / 'vae_jax', 'train', cwd=tmp_path)
  assert result.returncode == 2
  [line] = result.stderr.splitlines()
  assert line.endswith("Run pip install 'vae_jax[experiments]'")


@pytest.mark.long
def test_a_command_of_the_wheel_leaves_a_report(wheel, tmp_path):
  """The libraries are those of this environment."""
  site = tmp_path / 'site'
  with zipfile.ZipFile(wheel) as archive:
    archive.extractall(site)
  flagfile = 'experiments/flagfiles/equal_budget.flags'
  assert (site / 'vae_jax' / 'commands' / flagfile).is_file()
  page = 'runs/report/decoder/page.js'
  assert (site / 'vae_jax' / page).is_file()
  small = '--num_epochs=2 --hidden_sizes=8 --nll_num_samples=2 --report=table'
  result = run(
    *(sys.executable, '-m', 'vae_jax', 'train', *small.split()),
    cwd=tmp_path,
    PYTHONPATH=str(site),
  )
  assert result.returncode == 0, result.stderr
  assert (tmp_path / 'runs' / 'digits' / 'report.html').is_file()
  look, following = result.stdout.splitlines()[-2:]
  assert look == 'Look at: runs/digits/report.html'
  assert 'python -m vae_jax evaluate --workdir=runs/digits' in following
