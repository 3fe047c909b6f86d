import jax
import numpy as np
import pytest

import vae_jax as vj
from vae_jax import data
from vae_jax.errors import UserError
from vae_jax.runs import load_run, splits


@pytest.fixture(scope='module')
def run(trained):
  return load_run(trained.folder)


@pytest.fixture(scope='module')
def images():
  return data.load_test('digits').x[:5]


def test_run_unpacks_into_config_model_params_metrics(run, trained):
  config, model, params, metrics = run
  assert config == trained.config
  assert set(params) == {'encoder', 'decoder'}
  assert metrics == metrics | trained.metrics
  assert (metrics['split'], metrics['step']) == ('test', 4)
  assert isinstance(model, vj.VAE)


def test_path_may_be_a_string(trained, run):
  again = load_run(str(trained.folder))
  jax.tree.map(np.testing.assert_array_equal, again.params, run.params)


def test_replaced_fields_keep_the_shape_of_the_data(run, images):
  zeros = jax.tree.map(np.zeros_like, run.params)
  q = run._replace(params=zeros).encode(images)
  np.testing.assert_array_equal(q.mean(), np.zeros((5, 2)))


def test_best_checkpoint_is_loaded_by_name(copied):
  best = load_run(copied.folder, checkpoint='best')
  checkpoints = copied.folder / 'checkpoints'
  for path in checkpoints.glob('step_*'):
    path.unlink()
  again = load_run(copied.folder, checkpoint='best')
  jax.tree.map(np.testing.assert_array_equal, again.params, best.params)
  with pytest.raises(UserError, match='has no checkpoint'):
    load_run(copied.folder)
  with pytest.raises(ValueError, match="got 'first', expected 'auto' or"):
    load_run(copied.folder, checkpoint='first')


def test_run_without_a_test_record_has_no_metrics(copied):
  path = copied.folder / 'metrics.jsonl'
  kept = [x for x in path.read_text().splitlines() if '"test"' not in x]
  path.write_text('\n'.join(kept) + '\n')
  assert load_run(copied.folder).metrics is None


def test_stored_images_are_encoded_as_in_the_report(run, images):
  x = splits.preprocess(run.config, images).astype(np.float32)
  expected = jax.vmap(lambda x: run.model.encode(run.params, x).mean())(x)
  for batch in (images, x):
    q = run.encode(batch)
    assert q.mean().shape == (5, 2)
    np.testing.assert_allclose(q.mean(), expected, rtol=1e-5)
  assert jax.vmap(lambda q: q.entropy())(q).shape == (5,)


@pytest.mark.slow
def test_reconstructions_are_means_at_draws_of_the_posterior(run, images):
  key = jax.random.key(0)
  found = run.reconstruct(key, images)
  assert found.shape == (5, 8, 8, 1)
  q = run.encode(images[:1])
  q = jax.tree.map(lambda x: x[0], q)
  z = vj.sample(jax.random.split(jax.random.key(0), 5)[0], q)
  expected = run.model.decode(run.params, z).mean()
  np.testing.assert_allclose(found[0], expected, rtol=1e-5)
  other = run.reconstruct(jax.random.key(1), images)
  assert np.all(found != other)


def test_samples_are_means_at_draws_of_the_prior(run):
  found = run.sample(jax.random.key(0), 3)
  assert found.shape == (3, 8, 8, 1)
  key = jax.random.split(jax.random.key(0), 3)[1]
  z = vj.sample(key, run.model.prior(run.params))
  expected = run.model.decode(run.params, z).mean()
  np.testing.assert_allclose(found[1], expected, rtol=1e-5)


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (lambda x: x[0], r'got shape \(8, 8, 1\), expected \(N, 8, 8, 1\)'),
    (lambda x: x.reshape(5, 64), r'got shape \(5, 64\), expected'),
    (lambda x: x[..., 0], r'got shape \(5, 8, 8\), expected'),
    (lambda x: (x > 99).astype(np.uint8), 'got zeros and ones of dtype uint8'),
    (lambda x: x.astype(int), 'got numbers of dtype int64'),
  ],
)
def test_unsuitable_batches_are_refused_in_one_line(
  change, message, run, images
):
  for use in (run.encode, lambda x: run.reconstruct(jax.random.key(0), x)):
    with pytest.raises(ValueError, match=message) as error:
      use(change(images))
    assert '\n' not in str(error.value)


def test_black_images_are_pixels(run, images):
  assert run.encode(0 * images).mean().shape == (5, 2)


def test_folder_without_a_run_is_named(tmp_path):
  with pytest.raises(UserError, match='holds no run'):
    load_run(tmp_path)
