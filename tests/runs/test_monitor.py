import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from vae_jax.runs import monitor

BATCH = jnp.asarray(np.random.RandomState(0).randint(0, 2, (5, 3, 3, 1)), float)


@pytest.mark.slow
def test_every_estimator_that_q_admits_is_measured():
  vae = vj.make_vae(data_shape=(3, 3, 1), latent_dim=2, hidden_sizes=(6,))
  measure = monitor.make_monitor(vae, BATCH, (4,))
  params = vae.init(jax.random.key(0))
  values = measure(jax.random.key(1), params)
  names = {name for name in values if name.endswith('_signal_to_noise')}
  assert names == {
    f'{name}_k4_encoder_signal_to_noise'
    for name in ('pathwise', 'dreg', 'adaptive')
  } | {'pathwise_k4_decoder_signal_to_noise'}
  assert all(np.isfinite(value) for value in values.values())
  assert values['dreg_k4_encoder_bias_z'] < 2
  assert measure(jax.random.key(1), params) == values


@pytest.mark.parametrize(
  ('q', 'num_samples', 'names'),
  [
    (vj.Normal(jnp.zeros(2), 0.0), 1, ['pathwise', 'dreg', 'adaptive']),
    (vj.Normal(jnp.zeros(2), 0.0), 4, ['pathwise', 'dreg', 'adaptive']),
    (vj.Bernoulli(jnp.zeros(2)), 1, ['score_function']),
    (vj.Bernoulli(jnp.zeros(2)), 4, ['score_function', 'vimco']),
  ],
)
def test_estimators_follow_the_posterior_and_k(q, num_samples, names):
  assert monitor.estimators_of(q, num_samples) == names


@pytest.mark.parametrize(
  ('epoch', 'last', 'due'),
  [(1, 9, True), (2, 9, True), (3, 9, False), (8, 9, True), (9, 9, True)],
)
def test_powers_of_two_and_the_last_epoch_are_measured(epoch, last, due):
  assert monitor.is_due(epoch, last) == due


def test_figures_have_the_first_and_the_last_measurement(monkeypatch):
  points, draw = [], monitor.plots.signal_to_noise
  monkeypatch.setattr(
    monitor.plots,
    'signal_to_noise',
    lambda title, found: points.extend(found) or draw(title, found),
  )
  line = lambda epoch, value: {
    'split': 'gradients',
    'epoch': epoch,
    'step': epoch,
    'dreg_k4_encoder_signal_to_noise': value,
    'score_function_k4_decoder_signal_to_noise': value,
  }
  assert monitor.draw([{'split': 'train', 'epoch': 1}]) == {}
  last = line(4, 2.0) | {'dreg_k4_encoder_noise': 3.0}
  # A stranger's line.
  last |= {f'stl_k{"9" * 5000}_encoder_signal_to_noise': 1.0}
  last |= {'stl_k4_encoder_signal_to_noise': 10**400}
  last |= {'stl_k5_encoder_signal_to_noise': None}
  figures = monitor.draw([line(1, 0.5), line(2, 1.0), last])
  assert set(figures) == {'gradients_decoder', 'gradients_encoder'}
  assert points == [
    monitor.Point('encoder', 'dreg, epoch 1', 4, 0.5),
    monitor.Point('decoder', 'score_function, epoch 1', 4, 0.5),
    monitor.Point('encoder', 'dreg, epoch 4', 4, 2.0),
    monitor.Point('decoder', 'score_function, epoch 4', 4, 2.0),
  ]
