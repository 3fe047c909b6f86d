"""The README's code runs and does what it says."""

import contextlib
import io
import pathlib
import re

import numpy as np
import pytest
from scipy.special import entr
from sklearn.datasets import load_digits

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / 'README.md').read_text()


@pytest.fixture(scope='module')
def outputs():
  """What each block of Python prints."""
  printed = []
  for code in blocks('python'):
    with contextlib.redirect_stdout(io.StringIO()) as out:
      exec(compile(code, 'README.md', 'exec'), {})
    printed.append(out.getvalue())
  return printed


def blocks(language):
  return re.findall(rf'```{language}\n(.*?)```', README, re.DOTALL)


def test_the_gradient_is_the_exact_one(outputs):
  estimate = float(re.match(r'([\d.]+), exactly 6', outputs[0])[1])
  # The variance of 2 (theta + eps) is 4; 6 standard errors of 10,000 draws,
  # and half of the last printed digit.
  assert abs(estimate - 6) < 6 * 2 / 100 + 0.005


def test_the_users_own_vae_learns_in_under_40_lines(outputs):
  assert len(blocks('python')[1].splitlines()) < 40
  elbo = float(re.search(r'ELBO (\S+) nats', outputs[1])[1])
  images = np.round(load_digits().images.reshape(-1, 64) / 16)
  mean = images.mean(axis=0)
  # No model of independent pixels, that is without a latent, gets higher.
  independent = -np.sum(entr(mean) + entr(1 - mean))
  assert elbo > independent + 2


def test_the_map_names_every_module():
  table = README.split('## Map')[1].split('## Conventions')[0]
  named = set(re.findall(r'`(\w+)/?`', table)) - {'VAE', 'vmap'}
  modules = {
    path.stem
    for path in (ROOT / 'vae_jax').iterdir()
    if not path.stem.startswith('_') and path.suffix in ('', '.py')
  }
  assert named == modules | {'experiments'}


def test_every_flag_that_is_named_exists():
  from vae_jax.config import (
    Config,
    EvaluateConfig,
    GradientVarianceConfig,
    PrepareConfig,
  )

  fields = {
    name
    for config in (
      Config,
      EvaluateConfig,
      GradientVarianceConfig,
      PrepareConfig,
    )
    for name in config.__dataclass_fields__
  }
  named = set(re.findall(r'--([a-z_]+)', README)) - {'help'}
  assert named
  assert named <= fields
