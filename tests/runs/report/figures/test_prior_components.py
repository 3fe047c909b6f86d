import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from vae_jax.runs.report.figures import image_figures
from vae_jax.runs.report.figures.prior_components import prior_components

Z = 4
IMAGES = np.random.RandomState(0).randint(0, 256, (16, 2, 2, 1), np.uint8)
PREPROCESSED = IMAGES / np.float32(255)


def made_of(prior, params=None):
  """A model whose z are the four pixels: an image shows its z."""
  vae = vj.VAE(
    init=lambda key: {},
    encode=lambda params, x: vj.Normal(x.ravel(), jnp.zeros(Z)),
    decode=lambda params, z: vj.Normal(z.reshape(2, 2, 1), 0.0),
    prior=lambda params: prior,
  )
  return image_figures.make_model(vae, params or {}, IMAGES, PREPROCESSED)


def mixture(count):
  means = jax.random.uniform(jax.random.key(1), (count, Z))
  logits = jax.random.normal(jax.random.key(2), (count,))
  return vj.Mixture(logits, vj.Normal(means, jnp.zeros((count, Z))))


@pytest.mark.parametrize(('count', 'shown'), [(20, 20), (300, 256)])
def test_components_are_decoded_in_decreasing_order_of_their_weights(
  count, shown, seen
):
  prior = mixture(count)
  drawn = prior_components(made_of(prior))
  assert drawn.name == 'prior_components'
  title, images, columns, _ = seen[0]
  wanted = f'each of {count}' if shown == count else f'{shown} of {count}'
  assert f'the mean of {wanted} components of p(z)' in title
  assert 1 < columns <= 16
  order = np.argsort(-prior.logits)[:shown]
  means = np.asarray(prior.components.loc)[order].reshape(-1, 2, 2, 1)
  np.testing.assert_allclose(images, means, rtol=1e-6)


@pytest.mark.parametrize('count', [5, 16, 37])
def test_pseudo_inputs_stand_above_what_their_posterior_decodes_to(count, seen):
  # Some outside of [0, 1], where the encoder sees them clipped.
  inputs = np.random.RandomState(1).uniform(-0.5, 1.5, (count, 2, 2, 1))
  clipped = jnp.clip(jnp.asarray(inputs, jnp.float32), 0, 1)
  means = clipped.reshape(count, Z) / 2
  prior = vj.Mixture(jnp.zeros(count), vj.Normal(means, jnp.zeros((count, Z))))
  made = made_of(prior, {'prior': {'pseudo_inputs': inputs}})
  prior_components(made)
  _, rows, options = seen[0]
  assert options['rows'] == ('pseudo-input', 'E[x | z]') * (len(rows) // 2)
  above = rows[::2].reshape(-1, 2, 2, 1)
  below = rows[1::2].reshape(-1, 2, 2, 1)
  assert count <= len(above) < count + 16
  np.testing.assert_allclose(above[:count], clipped, rtol=1e-6)
  np.testing.assert_allclose(below[:count], clipped / 2, rtol=1e-6)
  # The last row is filled with white.
  np.testing.assert_array_equal(above[count:], 1)
  np.testing.assert_array_equal(below[count:], 1)


@pytest.mark.parametrize(
  ('prior', 'has_figure'),
  [
    (mixture(3), True),
    (vj.Normal(jnp.zeros(Z), jnp.zeros(Z)), False),
    # Its components have no mean.
    (
      vj.Mixture(jnp.zeros(2), vj.Cauchy(jnp.zeros((2, Z)), jnp.zeros((2, Z)))),
      False,
    ),
  ],
  ids=['mixture', 'normal', 'cauchy'],
)
def test_a_mixture_whose_components_have_means_gets_the_figure(
  prior, has_figure, seen
):
  drawn = image_figures.draw(made_of(prior), None)
  assert ('prior_components' in {each.name for each in drawn}) == has_figure
