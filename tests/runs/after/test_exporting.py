"""Exported files give the numbers of the run where vae_jax is refused."""

import os
import re
import subprocess
import sys

import jax
import numpy as np
import pytest

from vae_jax.errors import UserError
from vae_jax.runs import Config, load_run, train
from vae_jax.runs.after import exporting
from vae_jax.runs.config import ExportConfig

# Prepended to the code of the card.
REFUSE = """
import sys

class Refuse:
  def find_spec(self, name, path=None, target=None):
    if name.split('.')[0] in ('vae_jax', 'flax', 'optax'):
      raise ImportError(f'{name} is refused')

sys.meta_path.insert(0, Refuse())
"""
# Appended to it: the same programs on arrays of a file.
CALL = """
arrays = dict(np.load('in.npz'))
z = {k: arrays.pop(k) for k in list(arrays) if k.startswith('given_')}
encoded = encode.call(params, arrays)
decoded = decode.call(params, {k.removeprefix('given_'): z[k] for k in z})
np.savez('out.npz', **encoded, **{f'of_z_{k}': x for k, x in decoded.items()})
"""


def call_elsewhere(folder, **arrays):
  """Runs the code of the card, and its programs, in another process."""
  np.savez(folder / 'in.npz', **arrays)
  text = (folder / 'README.md').read_text()
  (code,) = re.findall(r'```python\n(.*?)```', text, re.DOTALL)
  result = subprocess.run(
    [sys.executable, '-P', '-c', REFUSE + code + CALL],
    cwd=folder,
    capture_output=True,
    text=True,
    env={k: x for k, x in os.environ.items() if k != 'PYTHONPATH'},
  )
  assert result.returncode == 0, result.stderr
  with np.load(folder / 'out.npz') as arrays:
    return dict(arrays)


@pytest.mark.slow
def test_programs_give_the_same_numbers_without_vae_jax(trained, tmp_path):
  pytest.importorskip('safetensors')
  pytest.importorskip('flatbuffers')
  exporting.export_run(
    ExportConfig(workdir=str(trained.folder), output=str(tmp_path))
  )
  rng = np.random.default_rng(0)
  x = rng.integers(0, 2, (5, 8, 8, 1)).astype(np.float32)
  noise, z = rng.normal(size=(2, 5, 2)).astype(np.float32)
  found = call_elsewhere(tmp_path, x=x, noise=noise, given_z=z)
  run = load_run(trained.folder)
  q = run.encode(x)
  draws = jax.vmap(lambda q, eps: q.transform(eps))(q, noise)
  decode = jax.vmap(lambda z: run.model.decode(run.params, z).mean())
  for name, expected in (
    ('z', draws),
    ('mean', q.mean()),
    ('posterior_log_scale', q.log_scale),
    ('of_z_mean', decode(z)),
  ):
    np.testing.assert_allclose(found[name], expected, rtol=1e-5, atol=1e-6)
  text = (tmp_path / 'README.md').read_text()
  nll, error = trained.metrics['nll'], trained.metrics['nll_standard_error']
  assert f'NLL: {nll:.3f} ± {error:.3f} nats (K = 3' in text
  assert str(trained.folder) not in text


@pytest.mark.slow
@pytest.mark.parametrize(
  'kind',
  [
    {'latent_dims': (4, 2), 'latent_dim': 10},
    {'latent_dims': (4, 2), 'latent_dim': 10, 'inference': 'top_down'},
    {'posterior': 'gamma', 'prior': 'gamma', 'latent_dim': 2},
    {'likelihood': 'normal', 'dataset': 'linear_gaussian', 'latent_dim': 2},
    {'condition': 'labels', 'latent_dim': 2},
  ],
  ids=['layers', 'top-down', 'gamma', 'scalar parameter', 'classes'],
)
def test_other_models_reload(kind, tmp_path):
  pytest.importorskip('safetensors')
  pytest.importorskip('flatbuffers')
  from safetensors.numpy import load_file

  small = {'num_epochs': 1, 'hidden_sizes': (8,), 'batch_size': 900}
  train(Config(**small, **kind, report='none'), folder=tmp_path / 'run')
  exporting.export_run(ExportConfig(workdir=str(tmp_path / 'run')))
  folder = tmp_path / 'run' / 'export'
  run = load_run(tmp_path / 'run')
  weights = load_file(folder / 'parameters.safetensors')
  leaves = jax.tree_util.tree_leaves_with_path(run.params)
  for path, leaf in leaves:
    name = jax.tree_util.keystr(path, simple=True, separator='/')
    assert weights[name].shape == leaf.shape
    np.testing.assert_array_equal(weights[name], leaf)
  assert len(weights) == len(leaves)
  text = (folder / 'README.md').read_text()
  (code,) = re.findall(r'```python\n(.*?)```', text, re.DOTALL)
  place = {
    name: f"'{folder / name}'"
    for name in ('parameters.safetensors', 'encode.jax', 'decode.jax')
  }
  for name, path in place.items():
    code = code.replace(f"'{name}'", path)
  scope = {}
  exec(code, scope)
  assert scope['decoded']['mean'].shape == (8, *run.data_shape)
  # Draws of a Gamma are no transform of noise; of layers they are, one by one.
  names = {'z_z1', 'z_z2'} if 'latent_dims' in kind else {'z'}
  has_noise = kind.get('posterior') != 'gamma'
  assert names & set(scope['encoded']) == (names if has_noise else set())
  for name in names:
    assert (f"'{name}': encoded['{name}']" in code) == has_noise


def test_missing_package_is_one_line(trained, monkeypatch):
  monkeypatch.setitem(sys.modules, 'safetensors.numpy', None)
  with pytest.raises(UserError, match=r'safetensors.*pip install'):
    exporting.export_run(ExportConfig(workdir=str(trained.folder)))
