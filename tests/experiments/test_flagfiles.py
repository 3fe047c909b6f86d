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
  # Options that exclude each other, or a comment taken as a flag, raise.
  config = flags.parse(Config, ['train', f'--flagfile={path}'])
  assert config != Config()
  # Where the data and the run are, is for the user to say.
  assert (config.data.data_dir, config.run.workdir) == ('', '')
