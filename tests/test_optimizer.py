import jax.numpy as jnp
import numpy as np

import vae_jax as vj
from vae_jax import optimizer


def rates(epochs, **options):
  schedule = optimizer.make_schedule(vj.Config(**options), steps_per_epoch=10)
  return np.array([schedule(10 * epoch) for epoch in epochs])


def test_constant():
  np.testing.assert_allclose(rates([0, 5, 99], learning_rate=0.02), 0.02)


def test_cosine_falls_to_zero_over_the_run():
  values = rates([0, 5, 10], schedule='cosine', num_epochs=10)
  np.testing.assert_allclose(values, [1e-3, 5e-4, 0.0], atol=1e-9)


def test_iwae_staircase_is_burdas():
  # Stage i lasts 3^i epochs: it starts at epoch (3^i - 1) / 2.
  starts = [(3**i - 1) // 2 for i in range(8)]
  assert starts[-1] + 3**7 == 3280
  exact = 1e-3 * 10.0 ** (-np.arange(8) / 7)
  options = {'schedule': 'iwae', 'num_epochs': 3280}
  # A boundary's own step belongs to the stage before it, in optax.
  schedule = optimizer.make_schedule(vj.Config(**options), steps_per_epoch=10)
  first = np.array([schedule(10 * start + 1) for start in starts])
  np.testing.assert_allclose(first, exact, rtol=1e-5)
  np.testing.assert_allclose(rates([3280], **options), 1e-4, rtol=1e-5)


def test_the_weight_of_the_kl_grows_to_beta_in_equal_steps():
  weights = lambda **options: optimizer.make_loss_schedules(
    vj.Config(beta=4.0, **options), steps_per_epoch=10
  )
  beta = weights(kl_warmup_epochs=2)['beta']
  found = [beta(step) for step in (0, 1, 10, 19, 20, 500)]
  np.testing.assert_allclose(found, [0, 0.2, 2, 3.8, 4, 4], rtol=1e-6)
  assert weights() == {}


def test_first_step_of_adam_has_the_size_of_the_rate():
  adam = optimizer.make_optimizer(vj.Config(learning_rate=0.01), 10)
  params = {'w': jnp.array([1.0, -1.0])}
  grads = {'w': jnp.array([5.0, -0.1])}
  updates, _ = adam.update(grads, adam.init(params), params)
  params = optimizer.apply_updates(params, updates)
  np.testing.assert_allclose(params['w'], [0.99, -0.99], rtol=1e-5)
