"""The README's code runs and prints the stated numbers."""

import contextlib
import io
import pathlib
import re

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import pytest
from scipy.special import entr
from sklearn.datasets import load_digits

import vae_jax as vj
from vae_jax.models import LIKELIHOODS, POSTERIORS, PRIORS
from vae_jax.models.networks import NETWORKS
from vae_jax.objectives import OBJECTIVES
from vae_jax.runs import Config, train
from vae_jax.runs.report import build

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / 'README.md').read_text()


def blocks(text=README):
  return re.findall(r'```python\n(.*?)```', text, re.DOTALL)


GRADIENT, NOTEBOOK, OWN_VAE, *EXTEND = blocks()


def run(code):
  """Returns what a block of Python prints, and its variables."""
  names = {}
  with contextlib.redirect_stdout(io.StringIO()) as out:
    exec(compile(code, 'README.md', 'exec'), names)
  return out.getvalue(), names


def test_the_gradient_is_the_exact_one():
  printed, _ = run(GRADIENT)
  estimate = float(re.match(r'([\d.]+), exactly 6', printed)[1])
  # The variance of 2 (theta + eps) is 4; 6 standard errors of 10,000 draws,
  # and half of the last printed digit.
  assert abs(estimate - 6) < 6 * 2 / 100 + 0.005


@pytest.mark.slow
def test_the_notebook_loads_encodes_and_samples_in_ten_lines(
  inside, monkeypatch
):
  assert len(NOTEBOOK.splitlines()) <= 10
  options = {'num_epochs': 1, 'hidden_sizes': (8,), 'nll_num_samples': 2}
  # The page and its figures take the most time, and the notebook reads none.
  monkeypatch.setattr(build, 'present', lambda *args: [])
  train(Config(**options), folder='runs/digits')
  mpl.use('Agg')
  printed, names = run(NOTEBOOK)
  assert re.match(r'means \(8, 10\) NLL \d+\.\d+', printed)
  assert names['samples'].shape == (8, 8, 8, 1)
  assert pathlib.Path('samples.png').stat().st_size > 1000


@pytest.mark.slow
def test_the_users_own_vae_learns_in_under_40_lines():
  assert len(OWN_VAE.splitlines()) < 40
  printed, _ = run(OWN_VAE)
  elbo = float(re.search(r'ELBO (\S+) nats', printed)[1])
  images = np.round(load_digits().images.reshape(-1, 64) / 16)
  mean = images.mean(axis=0)
  # No model of independent pixels, that is without a latent, reaches more.
  independent = -np.sum(entr(mean) + entr(1 - mean))
  assert elbo > independent + 2


TABLES = {
  'posterior': POSTERIORS,
  'prior': PRIORS,
  'likelihood': LIKELIHOODS,
  'network': NETWORKS,
  'objective': OBJECTIVES,
}


@pytest.mark.quick('objective')
@pytest.mark.parametrize(
  ('option', 'code'), list(zip(TABLES, EXTEND, strict=True)), ids=TABLES
)
def test_a_row_extends_each_table_in_under_15_lines(option, code):
  """make_vae or make_loss and the options know the new part."""
  table = TABLES[option]
  assert len([line for line in code.splitlines() if line.strip()]) < 15
  before = set(table)
  try:
    _, names = run(code)
    [name] = table.keys() - before
    config = Config(**{option: name})
    assert config.flat()[option] == name
    model = names.get('vae') or vj.make_vae(config, (8, 8))
    params = jax.jit(model.init)(jax.random.key(0))
    loss = vj.make_loss(model, config.objective)
    x = jnp.ones((2, 8, 8))
    gradient = jax.jit(jax.grad(lambda key, params: loss(key, params, x)[0], 1))
    gradient = gradient(jax.random.key(1), params)
    for leaf in jax.tree.leaves(gradient):
      assert np.all(np.isfinite(leaf))
    assert any(np.any(leaf != 0) for leaf in jax.tree.leaves(gradient))
  finally:
    for added in table.keys() - before:
      del table[added]


def test_the_map_names_every_module():
  table = README.split('## Map')[1].split('## Conventions')[0]
  named = set(re.findall(r'^\* (.*?)(?::|$)', table, re.MULTILINE))
  names = {name for row in named for name in re.findall(r'`(\w+)/?`', row)}
  modules = {
    path.stem
    for path in (ROOT / 'vae_jax').iterdir()
    if not path.stem.startswith('_') and path.name != 'py.typed'
  }
  assert names == modules | {'experiments'}


def test_every_flag_that_is_named_exists():
  from experiments.cells.config import ReproduceConfig
  from experiments.lab.config import GradientVarianceConfig
  from vae_jax.runs import config as configs
  from vae_jax.runs.config.options import flag_of, option_fields

  fields = {
    flag_of(field)
    for config in (
      GradientVarianceConfig,
      ReproduceConfig,
      *(
        getattr(configs, name)
        for name in configs.__all__
        if name.endswith('Config')
      ),
    )
    for field in option_fields(config)
  }
  named = set(re.findall(r'--([a-z_]+)', README)) - {'flagfile', 'help'}
  assert named
  assert named <= fields
