import jax
import numpy as np
import pytest

import vae_jax as vj
from vae_jax import report
from vae_jax.config import EvaluateConfig
from vae_jax.errors import UserError


def test_numbers_fit_together():
  config = vj.Config(latent_dim=2, hidden_sizes=(8,))
  test, binary = report.load_test(config)
  assert set(np.unique(binary)) == {0, 1}
  assert binary.shape == test.images.shape
  vae = vj.make_vae(config, (8, 8, 1))
  params = vae.init(jax.random.key(0))
  metrics = report.measure(vae, params, binary, 5)
  np.testing.assert_allclose(
    metrics['elbo'], metrics['log_likelihood'] - metrics['kl'], rtol=1e-4
  )
  # -NLL at K > 1 is the tighter bound.
  assert -metrics['nll'] > metrics['elbo']
  names = [name for name, _ in report.rows(metrics)]
  assert names == ['ELBO', '= log likelihood', '- KL', 'NLL, K = 5']


def test_test_images_are_binarised_the_same_way_every_time():
  config = vj.Config()
  first, again = report.load_test(config)[1], report.load_test(config)[1]
  np.testing.assert_array_equal(first, again)


def test_abstract_state_is_the_shape_of_the_real_one():
  config = vj.Config(latent_dim=2, hidden_sizes=(8,), schedule='cosine')
  vae = vj.make_vae(config, (8, 8, 1))
  state = report.abstract_state(config, vae)
  params = vae.init(jax.random.key(0))
  shapes = jax.tree.map(lambda x: (x.shape, x.dtype), (params, state.params))
  assert shapes[0] == shapes[1]


@pytest.mark.parametrize('folder', ['', 'none'])
def test_a_folder_without_a_run(folder, inside):
  with pytest.raises(UserError, match='no run'):
    report.evaluate_run(EvaluateConfig(workdir=folder))
