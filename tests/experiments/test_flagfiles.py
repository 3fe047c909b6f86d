"""Recipes as flagfiles: every one is a valid run."""

import pathlib

import pytest

import experiments
from vae_jax.runs import Config, flags

FOLDER = pathlib.Path(experiments.__file__).parent / 'flagfiles'
PATHS = sorted(FOLDER.glob('*.flags'))


def test_there_are_flagfiles():
  assert PATHS


@pytest.mark.parametrize('path', PATHS, ids=lambda path: path.stem)
def test_flagfile_is_a_run(path):
  lines = path.read_text().splitlines()
  given = [line for line in lines if line and not line.startswith('#')]
  config = flags.parse(Config, ['train', f'--flagfile={path}'])
  changed = {
    name for name, value in config.flat().items() if value != DEFAULT[name]
  }
  # Comments are no flags, and each flag says something.
  assert {line[2:].split('=')[0] for line in given} >= changed
  assert len(given) >= len(changed) > 0


DEFAULT = Config().flat()
