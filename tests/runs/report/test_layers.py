"""Reports of several stochastic layers: table, bars and figures by layer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from vae_jax.evaluate import Estimate, Latents
from vae_jax.evaluate.dimensions import layers_of
from vae_jax.runs import seeds
from vae_jax.runs.report import table, trained_run
from vae_jax.runs.report.figures import image_figures, metric_figures
from vae_jax.runs.report.figures.drawn import Drawn

SIZES = {'z1[0]': 1, 'z1[1]': 1, 'z1[2]': 1, 'z2': 2}
VARIANCE = np.array([0.5, 0.0, 0.4, 0.3, 0.001])


def latents():
  kl = Estimate(np.array([1.0, 0.05, 3.0, 2.0]), np.full(4, 0.1))
  means, none = np.arange(15.0).reshape(3, 5), Estimate(0.0, 0.0)
  return Latents(SIZES, kl, VARIANCE, np.ones(5), means, none, none)


def test_layers_are_read_from_the_labels():
  assert layers_of(SIZES) == {'z1': slice(0, 3), 'z2': slice(3, 5)}
  assert layers_of({'z[0]': 1, 'z[1]': 1}) == {}
  assert layers_of({'z': 4}) == {}
  own = latents().layer('z1')
  assert own.sizes == {'z1[0]': 1, 'z1[1]': 1, 'z1[2]': 1}
  assert own.kl.mean.tolist() == [1.0, 0.05, 3.0]
  assert own.active.tolist() == [True, False, True]
  assert own.means.tolist() == [[0, 1, 2], [5, 6, 7], [10, 11, 12]]
  top = latents().layer('z2')
  assert top.kl.mean.tolist() == [2.0]
  assert top.active.tolist() == [True, False]


def test_metrics_and_table_have_a_row_for_each_layer():
  metrics = trained_run.TestLatents(latents(), None).metrics
  assert metrics == {
    'active_units': 3,
    'latent_units': 5,
    'active_units_z1': 2,
    'latent_units_z1': 3,
    'kl_z1': pytest.approx(4.05),
    'active_units_z2': 1,
    'latent_units_z2': 2,
    'kl_z2': 2.0,
  }
  every = {
    'elbo': Estimate(0.0, 0.0),
    'log_likelihood': 0.0,
    'kl': 0.0,
    'nll': Estimate(0.0, 0.0),
    'nll_num_samples': 1,
    **metrics,
  }
  rows = {name: ' '.join(value.split()) for name, value in table.rows(every)}
  assert rows['active units, z1'] == '2 of 3'
  assert rows['active units, z2'] == '1 of 2'
  assert rows['KL, z1'] == '4.050 nats'
  other = every | {'active_units_z1': 3}
  joined = seeds.by_seed(range(2), [metrics, metrics | {'active_units_z1': 3}])
  assert joined['active_units_z1'] == 2.5
  assert joined['active_units_z1_seed1'] == 3
  assert joined['latent_units_z1'] == 3
  both = dict(table.rows_over_seeds([every, other]))
  assert '2.500 +- 0.500' in both['active units, z1']


def test_bars_are_sorted_within_each_layer():
  figure = metric_figures.kl_bars(latents()).figure
  title = figure.axes[0].get_title()
  assert 'z1 4.0 nats' in title or 'z1 4.1 nats' in title
  assert 'z2 2.0 nats' in title
  order = metric_figures._by_layer(latents())
  assert order.tolist() == [2, 0, 1, 3]
  masks = metric_figures._masks_of_layers(latents(), order)
  assert masks['z1, active'].tolist() == [True, True, False, False]
  assert masks['z2, active'].tolist() == [False, False, False, True]
  assert masks['inactive'].tolist() == [False, False, True, False]


@pytest.fixture(scope='module')
def figures():
  model = vj.make_vae(
    data_shape=(4, 4, 1),
    latent_dims=(3, 2),
    hidden_sizes=(),
    layer_hidden_sizes=(),
    likelihood='normal_fixed',
    sigma=0.3,
  )
  # Linear maps of initial size would give log-scales far from 0.
  params = jax.tree.map(lambda p: 0.1 * p, model.init(jax.random.key(0)))
  x = np.random.RandomState(0).uniform(size=(20, 4, 4, 1))
  images = np.uint8(255 * x)
  found = vj.measure_latents(jax.random.key(1), model, params, x)
  drawn = image_figures.draw_all(model, params, images, x, found)
  return model, params, x, {each.name: each for each in drawn}


@pytest.mark.slow
def test_every_figure_of_images_is_drawn(figures):
  *_, found = figures
  assert found.keys() == {
    'reconstructions',
    'prior_samples',
    'interpolations',
    'traversals',
    'latent_manifold',
  }
  assert all(isinstance(each, Drawn) for each in found.values()), found
  assert 'z2 is the top layer' in found['interpolations'].caption
  title = found['interpolations'].figure.get_suptitle()
  assert 'z2' in (title or found['interpolations'].figure.axes[0].get_title())


@pytest.mark.slow
def test_images_are_those_of_the_means_of_each_layer(figures):
  model, params, x, _ = figures
  made = image_figures.make_model(model, params, np.uint8(255 * x), x)
  top = image_figures.top_of(
    made, lambda: model.condition(params, jnp.asarray(x[0]))
  )
  q, prior = model.encode(params, jnp.asarray(x[0])), model.prior(params)
  z1 = q.parts['z1'].mean()
  z2 = q.part('z2', {'z1': z1}).mean()
  encoded = made.encode(x[:1])
  np.testing.assert_allclose(encoded['z1'][0], z1, rtol=1e-5)
  np.testing.assert_allclose(encoded['z2'][0], z2, rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(top.encode(x[:1])[0], z2, rtol=1e-5, atol=1e-6)
  below = prior.part('z1', {'z2': z2}).mean()
  image = np.clip(model.decode(params, {'z1': below}).mean(), 0, 1)
  shown = top.decode(np.asarray(z2)[None])[0]
  np.testing.assert_allclose(shown.mean(), image.mean(), atol=2e-2)
  assert top.prior.shape == (2,)
  assert isinstance(top.posterior, vj.Normal)
