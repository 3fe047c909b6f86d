"""Runs with conditions, few labels and missing data."""

import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from vae_jax import data
from vae_jax.errors import UserError
from vae_jax.runs import Config, examples, splits, train
from vae_jax.runs.missing import observed_mean, observed_scale
from vae_jax.runs.recipe import make_run
from vae_jax.training.semi_supervised import choose_labelled

# Trains and validates on one device and on four, of which each has two of the
# examples of a batch.
DEVICES = """
import jax
import numpy as np

from vae_jax import data
from vae_jax.runs import Config, splits
from vae_jax.runs.recipe import make_run
from vae_jax.training.mesh import make_mesh

random = np.random.RandomState(0)
images = random.randint(0, 256, (40, 2, 2, 1), np.uint8)
mask = random.rand(*images.shape) < 0.7
mask[:, 0] = True

def found(config, x, mask, mesh):
  whole = data.Split(x, np.arange(40) % 2, None, mask)
  held = data.in_memory('', whole.take(slice(8)))
  train = whole.take(slice(8, None))
  loaded = splits.Splits(train=train, validation=held, test=held)
  recipe = make_run(config, loaded, mesh=mesh).recipe
  state, finite = recipe.steps(recipe.init(), 4)
  params = jax.device_get(state.train.params)
  return np.all(finite), params, recipe.validate(state.train.params)

mesh = make_mesh(jax.devices())
assert mesh.size == 4
for options, mask in (
  ({'missing': 'mask', 'condition_prior': True}, mask),
  ({'num_labelled': 4}, None),
):
  config = Config(
    batch_size=8,
    hidden_sizes=(),
    latent_dim=2,
    condition='labels',
    **options,
  )
  one, several = (found(config, images, mask, each) for each in (None, mesh))
  close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
  jax.tree.map(close, one, several)
  assert one[0]
print('equal')
"""
COUNT = 40
RANDOM = np.random.RandomState(0)
IMAGES = RANDOM.randint(0, 256, (COUNT, 2, 2, 1), np.uint8)
MASK = RANDOM.rand(*IMAGES.shape) < 0.7
MASK[:, 0] = True
LABELS = np.arange(COUNT) % 2
SMALL = {
  'batch_size': 8,
  'hidden_sizes': (3,),
  'latent_dim': 2,
  'num_epochs': 2,
  'condition': 'labels',
}


@pytest.fixture
def loaded(monkeypatch):
  """Makes splits of the images with these labels, y and mask."""

  def load(labels=LABELS, y=None, mask=None, x=IMAGES):
    whole = data.Split(x, labels, y, mask)
    held = data.in_memory('', whole.take(slice(8)))
    return splits.Splits(
      train=whole.take(slice(8, None)), validation=held, test=held
    )

  return load


def steps_of(config, found):
  recipe = make_run(config, found).recipe
  state, finite = recipe.steps(recipe.init(), recipe.steps_per_epoch)
  assert finite
  return recipe, state


@pytest.mark.parametrize(
  ('test', 'message'),
  [
    ({'labels': LABELS + 5}, 'got the class 5, expected one of the 2 training'),
    ({'labels': None}, 'missing in a split, expected one condition per'),
    ({'mask': MASK}, '--missing=refuse: got .*% missing data in a split'),
  ],
)
def test_a_test_split_that_cannot_be_evaluated_is_seen_at_the_start(
  test, message, loaded
):
  found = loaded() | {'test': loaded(**test)['test']}
  with pytest.raises(UserError, match=message):
    make_run(Config(**SMALL, likelihood='discretised_logistic'), found)


def params_of(state):
  return np.concatenate(
    [np.ravel(leaf) for leaf in jax.tree.leaves(state.train.params)]
  )


@pytest.mark.slow
def test_labels_train_and_validate_the_model(loaded):
  recipe, state = steps_of(Config(**SMALL), loaded())
  other = steps_of(Config(**SMALL), loaded(labels=1 - LABELS))[1]
  assert (params_of(state) != params_of(other)).any()
  found = recipe.validate(state.train.params)
  swapped = make_run(Config(**SMALL), loaded(labels=1 - LABELS)).recipe
  assert found['elbo'] != swapped.validate(state.train.params)['elbo']


@pytest.mark.slow
def test_covariates_of_an_array_y_train_the_model(loaded):
  config = Config(**SMALL | {'condition': 'y'})
  run = make_run(config, loaded(y=RANDOM.normal(size=(COUNT, 3))))
  assert run.condition.num_covariates == 3
  assert run.recipe.steps(run.recipe.init(), 1)[1]


@pytest.mark.slow
def test_only_the_chosen_labels_train_a_semi_supervised_model(
  loaded, monkeypatch
):
  """Other labels of all but the chosen examples leave every bit."""
  config = Config(**SMALL, num_labelled=4)
  rows = choose_labelled(LABELS[8:], 4, 2, config.run.seed)
  # The choice depends on the labels; here it must stay as it is.
  monkeypatch.setattr(examples, 'choose_labelled', lambda *args: rows)
  recipe, state = steps_of(config, loaded())
  others = 8 + np.setdiff1d(np.arange(COUNT - 8), rows)
  hidden, wrong = LABELS.copy(), LABELS.copy()
  hidden[others] = RANDOM.permutation(hidden[others])
  wrong[8 + rows] = 1 - wrong[8 + rows]
  _, same = steps_of(config, loaded(labels=hidden))
  _, other = steps_of(config, loaded(labels=wrong))
  assert (hidden != LABELS).any()
  np.testing.assert_array_equal(params_of(state), params_of(same))
  assert (params_of(state) != params_of(other)).any()
  found = recipe.validate(state.train.params)
  assert 0 <= found['classification_error'] <= 1
  assert found['unlabelled_elbo'] < 0


@pytest.mark.parametrize(
  ('options', 'beside'),
  [
    ({'condition': 'none'}, (False, False)),
    ({'condition': 'labels'}, (False, False)),
    ({'condition': 'y'}, (True, False)),
    ({'condition': 'none', 'missing': 'mask'}, (False, True)),
  ],
)
def test_only_arrays_of_the_options_are_read(tmp_path, options, beside):
  path = tmp_path / 'a.npz'
  unreadable = np.array([], object)
  y = np.arange(COUNT) if beside[0] else unreadable
  mask = MASK if beside[1] else unreadable
  np.savez(path, images=IMAGES, labels=LABELS, y=y, mask=mask)
  config = Config(**SMALL | options, dataset=str(path))
  for split in splits.load(config).values():
    assert (split.y is not None, split.mask is not None) == beside


@pytest.mark.parametrize(
  ('options', 'change', 'message'),
  [
    ({}, {'labels': LABELS[:8] + 1}, 'got the class 2, expected one of the 2'),
    ({'condition': 'y'}, {'y': None}, 'array y of .*: missing in a split'),
    ({'missing': 'mask'}, {'mask': 0 * MASK[:8] > 0}, 'nothing observed'),
  ],
)
def test_a_test_split_that_the_report_cannot_take_is_refused_at_the_start(
  loaded, options, change, message
):
  found = loaded(y=LABELS, mask=MASK if 'missing' in options else None)
  found['test'] = found['test']._replace(**change)
  with pytest.raises(UserError, match=message):
    make_run(Config(**SMALL | options), found)


def test_a_mask_without_its_option_is_refused_with_what_to_do(tmp_path):
  path = tmp_path / 'a.npz'
  np.savez(path, images=IMAGES, labels=LABELS, mask=MASK)
  config = Config(**SMALL, dataset=str(path))
  with pytest.raises(
    UserError, match='Use --missing=mask, or remove the array'
  ):
    make_run(config)


@pytest.mark.parametrize(
  ('options', 'split', 'message'),
  [
    ({}, {'labels': None}, '--condition=labels: labels of .*: missing'),
    ({'condition': 'y'}, {}, '--condition=y: array y of .*: missing'),
    ({}, {'labels': LABELS / 2}, 'got real numbers.*--condition=y'),
    ({}, {'labels': np.arange(COUNT)}, 'expected one of the 32 training'),
    ({'num_labelled': 1}, {}, '--num_labelled: got 1, expected at least the 2'),
    ({'num_labelled': 32}, {}, 'fewer than the 32 training examples'),
    (
      {'num_labelled': 8},
      {'labels': np.r_[np.arange(8) % 2, np.zeros(31, int), 1]},
      'class 1 has 1 training examples, fewer than 4. Use fewer',
    ),
    (
      {'num_labelled': 8, 'condition': 'y'},
      {'y': np.ones((COUNT, 2))},
      'got 8 with covariates',
    ),
    ({}, {'mask': MASK}, '--missing=refuse: got .* missing'),
    (
      {'missing': 'mask'},
      {'mask': np.arange(COUNT).reshape(-1, 1, 1, 1) % 9 < np.ones((2, 2, 1))},
      '--missing=mask: got nothing observed of example',
    ),
  ],
)
def test_unsuitable_data_are_one_line(loaded, options, split, message):
  with pytest.raises(UserError, match=message) as error:
    make_run(Config(**SMALL | options), loaded(**split))
  assert '\n' not in str(error.value)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'condition_prior': True}, '--condition_prior with --condition=none'),
    ({'num_labelled': 9}, '--condition=none with --num_labelled=9'),
    ({'classification_weight': 2.0}, 'with --num_labelled=0'),
    (
      {
        'num_labelled': 9,
        'condition': 'labels',
        'objective': 'iwae',
        'num_samples': 2,
      },
      '--objective=iwae with --num_labelled=9',
    ),
    (
      {'num_labelled': 9, 'condition': 'labels', 'free_bits': 1.0},
      '--free_bits=1.0 with --num_labelled=9',
    ),
    (
      {'num_labelled': 9, 'condition': 'labels', 'missing': 'mask'},
      '--num_labelled=9 with --missing=mask',
    ),
    (
      {'missing': 'mask', 'likelihood': 'normal_optimal'},
      '--likelihood=normal_optimal with --missing=mask',
    ),
    (
      {'missing': 'mask', 'likelihood': 'discretised_logistic_mixture'},
      '--likelihood=discretised_logistic_mixture with --missing=mask',
    ),
    (
      {
        'condition': 'labels',
        'likelihood': 'poisson',
        'size_factor': 'total',
      },
      '--size_factor=total with --condition=labels',
    ),
    (
      {'condition': 'labels', 'latent_dims': (3, 2)},
      '--latent_dims=3,2 with --condition=labels',
    ),
    (
      {'latent_dims': (3, 2), 'condition_prior': True},
      '--condition_prior with --condition=none',
    ),
    (
      {'missing': 'mask', 'prior': 'vamp'},
      '--prior=vamp with --missing=mask',
    ),
    (
      {'condition': 'labels', 'prior': 'mixture', 'condition_prior': True},
      '--condition_prior with --prior=mixture',
    ),
  ],
)
def test_options_that_exclude_each_other_are_refused(options, message):
  with pytest.raises(UserError, match=message):
    Config(**options)


@pytest.mark.slow
def test_values_that_are_missing_change_no_bit(loaded):
  config = Config(**SMALL, missing='mask')
  _, state = steps_of(config, loaded(mask=MASK))
  x = np.where(MASK, IMAGES, 255 - IMAGES)
  _, same = steps_of(config, loaded(mask=MASK, x=x))
  np.testing.assert_array_equal(params_of(state), params_of(same))
  _, other = steps_of(config, loaded())
  assert (params_of(state) != params_of(other)).any()


@pytest.mark.slow
def test_nan_in_real_numbers_is_missing(loaded):
  x = np.where(MASK, IMAGES, np.nan).astype(np.float32)
  options = SMALL | {'condition': 'none', 'likelihood': 'normal'}
  with pytest.raises(UserError, match='--missing=refuse: got'):
    make_run(Config(**options), loaded(x=x))
  recipe, state = steps_of(Config(**options, missing='mask'), loaded(x=x))
  assert np.isfinite(params_of(state)).all()
  assert np.isfinite(recipe.validate(state.train.params)['elbo'])


def test_statistics_are_those_of_what_is_observed():
  x = np.array([[1.0, 5.0], [3.0, 9.0]])
  mask = np.array([[True, True], [True, False]])
  np.testing.assert_allclose(observed_mean(x, mask), [2, 5])
  np.testing.assert_allclose(observed_scale(x, mask), np.sqrt(2 / 3))
  never = np.array([[True, False], [True, False]])
  np.testing.assert_allclose(observed_mean(x, never), [2, 2])
  pixels = np.full((3, 1), 51, np.uint8)
  np.testing.assert_allclose(observed_mean(pixels, np.ones((3, 1), bool)), 0.2)


@pytest.mark.slow
@pytest.mark.parametrize('num_labelled', [0, 20])
def test_a_conditional_run_trains_resumes_and_is_loaded(
  tmp_path, num_labelled, undrawn, capsys
):
  options = {
    'hidden_sizes': (8,),
    'batch_size': 200,
    'latent_dim': 2,
    'nll_num_samples': 2,
    'condition': 'labels',
    'num_labelled': num_labelled,
  }
  straight = train(Config(**options, num_epochs=2), folder=tmp_path / 'a')
  train(Config(**options, num_epochs=1), folder=tmp_path / 'b')
  resumed = train(Config(**options, num_epochs=2), folder=tmp_path / 'b')
  assert resumed['nll'] == straight['nll']
  assert ('classification_error' in straight) == bool(num_labelled)
  run = vj.load_run(tmp_path / 'a')
  test = data.load_test('digits')
  y = test.labels[:5]
  assert run.condition.classes == tuple(range(10))
  means = run.encode(test.x[:5], y).mean()
  assert means.shape == (5, 2)
  assert jnp.abs(means - run.encode(test.x[:5], (y + 1) % 10).mean()).max() > 0
  assert run.reconstruct(jax.random.key(0), test.x[:5], y).shape[0] == 5
  one, other = (run.sample(jax.random.key(0), 3, y=i) for i in (3, 4))
  assert (one != other).any()
  for call in (
    lambda: run.encode(test.x[:5]),
    lambda: run.encode(test.x[:5], y[:4]),
    lambda: run.sample(jax.random.key(0), 3),
    lambda: run.encode(test.x[:5], [0, 1, 2, 3, 10]),
  ):
    with pytest.raises((ValueError, UserError), match='y: '):
      call()


@pytest.mark.long
@pytest.mark.slow
def test_devices_share_conditions_masks_and_few_labels():
  result = subprocess.run(
    [sys.executable, '-P', '-c', DEVICES],
    capture_output=True,
    text=True,
    env=os.environ
    | {
      'XLA_FLAGS': '--xla_force_host_platform_device_count=4',
      'JAX_PLATFORMS': 'cpu',
      'JAX_DISABLE_MOST_OPTIMIZATIONS': 'true',
      'PYTHONPATH': str(pathlib.Path(__file__).parents[2]),
    },
  )
  assert result.stdout == 'equal\n', result.stderr[-2000:]


@pytest.mark.slow
@pytest.mark.parametrize(
  ('options', 'x'),
  [
    ({'condition': 'labels', 'missing': 'mask'}, IMAGES),
    (
      {
        'condition': 'none',
        'likelihood': 'poisson',
        'size_factor': 'total',
      },
      IMAGES.astype(np.int32) // 30,
    ),
  ],
)
def test_each_of_many_seeds_trains_as_it_does_alone(loaded, options, x):
  mask = MASK if options.get('missing') else None
  found = loaded(x=x, mask=mask)
  many = Config(**SMALL | options, num_seeds=2)
  recipe, state = steps_of(many, found)
  validated = recipe.validate(state.train.params)
  alone, own = steps_of(Config(**SMALL | options, seed=1), found)
  for both, single in zip(
    jax.tree.leaves(state.train.params),
    jax.tree.leaves(own.train.params),
    strict=True,
  ):
    np.testing.assert_allclose(both[1], single, rtol=1e-5, atol=1e-6)
  expected = alone.validate(own.train.params)['elbo']
  np.testing.assert_allclose(validated['elbo_seed1'], expected, rtol=1e-5)
