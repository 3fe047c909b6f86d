import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from vae_jax.lab import monitor

SMALL = {'latent_dim': 2, 'hidden_sizes': (6,)}
BATCH = jnp.asarray(np.random.RandomState(0).randint(0, 2, (5, 3, 3, 1)), float)


def measured(*num_samples, **options):
  config = vj.Config(**SMALL, **options)
  vae = vj.make_vae(config, (3, 3, 1))
  measure = monitor.make_monitor(config, vae, BATCH, num_samples)
  params = vae.init(jax.random.key(0))
  return measure, params


def test_every_estimator_that_q_admits_is_measured():
  measure, params = measured(4, beta=3.0, free_bits=1.0)
  values = measure(jax.random.key(1), params)
  names = {name for name in values if name.endswith('_signal_to_noise')}
  assert names == {
    f'{name}_k4_encoder_signal_to_noise'
    for name in ('pathwise', 'dreg', 'mixture')
  } | {'pathwise_k4_decoder_signal_to_noise'}
  assert all(np.isfinite(value) for value in values.values())
  assert values['dreg_k4_encoder_bias_z'] < 2
  # The same draws again, whatever the training uses.
  assert measure(jax.random.key(1), params) == values


def test_discrete_latents_have_their_own_estimators():
  measure, params = measured(
    1, 4, posterior='bernoulli', prior='bernoulli', estimator='score_function'
  )
  values = measure(jax.random.key(1), params)
  assert 'vimco_k4_encoder_noise' in values
  assert 'vimco_k1_encoder_noise' not in values
  assert 'score_function_k1_encoder_noise' in values


@pytest.mark.parametrize(
  ('epoch', 'last', 'due'),
  [(1, 9, True), (2, 9, True), (3, 9, False), (8, 9, True), (9, 9, True)],
)
def test_epochs_that_are_measured(epoch, last, due):
  assert monitor.is_due(epoch, last) == due


def test_figures_show_the_first_and_the_last_measurement(tmp_path):
  line = lambda epoch, value: {
    'split': 'gradients',
    'epoch': epoch,
    'step': epoch,
    'dreg_k4_encoder_signal_to_noise': value,
    'dreg_k4_decoder_signal_to_noise': value,
  }
  assert monitor.draw(tmp_path, [{'split': 'train', 'epoch': 1}]) == []
  paths = monitor.draw(tmp_path, [line(1, 0.5), line(2, 1.0), line(4, 2.0)])
  assert {p.name for p in paths} == {
    'gradients_decoder.png',
    'gradients_encoder.png',
  }
