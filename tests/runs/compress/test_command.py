"""The command compress on one small run: both directions, and refusals."""

import re

import numpy as np
import pytest

from vae_jax import data
from vae_jax.errors import UserError
from vae_jax.runs import splits
from vae_jax.runs.compress import of_model
from vae_jax.runs.compress.command import compress
from vae_jax.runs.compress.table import Measured, table
from vae_jax.runs.config import CompressConfig

pytest.importorskip('constriction')


def options(trained, tmp_path, **more):
  own = {'workdir': str(trained.folder), 'output': str(tmp_path / 'out')}
  return CompressConfig(**(own | more))


@pytest.fixture
def compressed(trained, tmp_path):
  return compress(options(trained, tmp_path, num_examples=4))


def test_round_trip_returns_the_binarised_examples(
  trained, tmp_path, compressed, monkeypatch
):
  asked = options(trained, tmp_path, decompress=str(compressed))
  with np.load(compress(asked)) as arrays:
    found = arrays['x']
  exact = splits.preprocess(trained.config, data.load_test('digits').x[:4])
  assert found.dtype == np.uint8
  np.testing.assert_array_equal(found, exact)
  other = lambda *_: bytes(16)
  for name, words in {
    'digest_of_tables': 'other probabilities',
    'digest_of_params': 'other parameters',
  }.items():
    monkeypatch.setattr(of_model, name, other)
    with pytest.raises(UserError, match=words):
      compress(asked)


@pytest.mark.slow
def test_length_is_the_negative_elbo(trained, tmp_path, capsys):
  path = compress(options(trained, tmp_path))
  printed = capsys.readouterr().out
  found = re.search(
    r'ELBO: ([\d.]+) \+- ([\d.]+), .* coded z: ([\d.]+)', printed
  )
  ratio, error, at_coded_z = map(float, found.groups())
  # One fixed code, whose ratio has a standard error of about 0.2 %.
  assert abs(ratio - 1) < 0.01
  assert error < 0.005
  assert abs(at_coded_z - 1) < 0.01
  assert f'{path.stat().st_size:,} ' in printed


def test_the_table_computes_nats():
  bits = np.array([8.0, 24.0])
  found = Measured(20, 10, 48, bits, -bits * np.log(2), -bits, {'gzip': 3})
  lines = table(found).splitlines()
  rows = {line[:29].strip(): line[29:].split() for line in lines[1:-1]}
  assert rows['file'] == ['20', '110.9', '55.452']
  assert rows['= examples'] == ['4', '22.2', '11.090']
  assert rows['negative ELBO'] == rows['= examples']
  assert rows['gzip'] == ['3', '16.6', '8.318']
  assert 'negative ELBO: 1.0000 +- 0.0000' in lines[-1]
