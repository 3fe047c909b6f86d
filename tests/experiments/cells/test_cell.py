"""Cells: every flagfile is one or part of one, legal, and takes two steps."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from experiments.cells.cell import CELLS, FLAGFILES, ROOT, load
from experiments.cells.published import PUBLISHED
from experiments.lab.config import GradientVarianceConfig
from vae_jax.data.streamed import Rows, Split
from vae_jax.errors import UserError
from vae_jax.runs import Config, flags, recipe

PATHS = sorted(FLAGFILES.glob('*.flags'))
TRAINED = [
  name
  for name in CELLS
  if name not in PUBLISHED or PUBLISHED[name].command == 'train'
]


def test_every_flagfile_is_a_cell_or_part_of_one():
  texts = {path.stem: path.read_text() for path in PATHS}
  included = {
    name
    for name in texts
    for text in texts.values()
    if f'--flagfile=experiments/flagfiles/{name}.flags\n' in text
  }
  assert set(CELLS) <= texts.keys()
  assert texts.keys() - set(CELLS) <= included
  for name, text in texts.items():
    assert text.startswith('# '), name


@pytest.mark.parametrize('path', PATHS, ids=lambda path: path.stem)
def test_a_flagfile_is_legal_and_read_by_its_command(path, monkeypatch):
  """A base of cells, too; it names neither folder nor device."""
  monkeypatch.chdir(ROOT)
  published = PUBLISHED.get(path.stem)
  is_trained = not published or published.command == 'train'
  kind = Config if is_trained else GradientVarianceConfig
  # As `train --flagfile=...` reads it: `load` reads the included ones itself.
  config = flags.parse(kind, ['train', f'--flagfile={path}'])
  if path.stem in CELLS:
    assert config == load(path.stem).config
  assert config != kind()
  if is_trained:
    assert (config.data.data_dir, config.run.workdir) == ('', '')
    assert config.run.platform == 'auto'
    assert '/' not in config.data.dataset


@pytest.mark.parametrize('path', PATHS, ids=lambda path: path.stem)
def test_the_comment_of_a_flagfile_states_its_k(path):
  """The K of the NLL is written in the flags and in the comment."""
  text = path.read_text()
  stated = {int(k) for k in re.findall(r'\bK =\s+(?:# )?(\d+)', text)}
  own = re.findall(r'^--nll_num_samples=(\d+)', text, re.MULTILINE)
  if not own and path.stem in CELLS and stated:
    own = [load(path.stem).training.run.nll_num_samples]
  assert stated <= set(map(int, own))


def test_cells_of_both_data_sets_at_equal_budget_differ_in_the_data_only():
  names = [name for name in CELLS if name not in PUBLISHED]
  for name in names:
    if name.startswith('mnist_'):
      twin = load(name.replace('mnist_', 'fashion_', 1)).training
      assert twin.data.dataset == 'fashion_mnist'
      assert twin.replace(dataset='mnist') == load(name).training
  assert len(names) == 22


# The compilation of the others is like that of one of these.
@pytest.mark.quick('iwae_5_dreg', 'iwae_2l_5', 'nvae_2', 'mnist_mixture')
@pytest.mark.parametrize('name', TRAINED)
def test_the_loss_of_a_cell_is_a_scalar(name):
  """Traced at the full size; data decide only the start of a prior."""
  config = load(name).training
  facts = {}
  if config.model.prior == 'vamp':
    count = config.model.num_pseudo_inputs
    facts['data_examples'] = jnp.zeros((count, 28, 28, 1))
  model = vj.make_vae(config.model, (28, 28, 1), **facts)
  loss = vj.make_loss(model, config.objective)
  x = jax.ShapeDtypeStruct(
    (config.optimizer.batch_size, 28, 28, 1), jnp.float32
  )
  params = jax.eval_shape(model.init, jax.random.key(0))
  value, _ = jax.eval_shape(loss, jax.random.key(0), params, x)
  assert value.shape == ()


# Each compiles for seconds, and realnvp_prior for half a minute.
_SOME = ('iwae_2l_1_vae', 'vamp_500', 'aevb_frey_2', 'static_1_50')


@pytest.mark.slow
@pytest.mark.parametrize(
  'name',
  [
    name if name in _SOME else pytest.param(name, marks=pytest.mark.long)
    for name in TRAINED
  ],
)
def test_a_cell_takes_two_steps(name):
  config = load(name).training.replace(batch_size=4, num_seeds=1)
  # As many as there are pseudo-inputs.
  random = np.random.default_rng(0)
  x = random.integers(0, 256, (500, 8, 8, 1)).astype(np.uint8)
  if config.data.dataset == 'binarized_mnist':
    x = x // 128 * 255
  few = Rows(x[:3], None)
  parts = recipe.make_run(
    config, {'train': Split(x, None), 'validation': few, 'test': few}
  ).recipe
  state = parts.init()
  before = jax.tree.map(np.array, state.train.params)
  state, finite = parts.steps(state, 2)
  assert finite
  assert int(state.train.step) == 2
  after = jax.tree.leaves(state.train.params)
  moved = [
    np.any(a != b) for a, b in zip(after, jax.tree.leaves(before), strict=True)
  ]
  assert any(moved)
  assert np.isfinite(parts.validate(state.train.params)['elbo'])


def test_an_unknown_name_has_a_hint():
  with pytest.raises(UserError, match=r"got 'iwae1vae'.*Did you mean iwae_1_"):
    load('iwae1vae')
  with pytest.raises(UserError, match='--list shows all'):
    load('zzz')


def test_published_numbers_are_numbers_with_a_source():
  for name, of in PUBLISHED.items():
    assert of.source, name
    assert not of.value or 50 < float(of.value) < 300, name
    # A cell whose paper draws bounds has no number to compare with.
    assert not (of.metric == 'elbo' and of.value), name
