"""Simulation-based calibration against a posterior that is known."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import vae_jax as vj
from vae_jax.evaluate.calibration import calibration, summarise

SIZE = 3


def make_model(scale=1.0, shift=0.0):
  """Returns p(z) = N(0, 1), p(x|z) = N(z, 1), whose p(z|x) = N(x/2, 1/2).

  Args:
    scale: standard deviation of q over that of p(z|x).
    shift: added to the mean of q.
  """
  zeros = jnp.zeros(SIZE)
  log_scale = jnp.full(SIZE, np.log(scale * np.sqrt(0.5)))
  return vj.VAE(
    init=lambda key: {},
    encode=lambda params, x: vj.Normal(x / 2 + shift, log_scale),
    decode=lambda params, z: vj.Normal(z, zeros),
    prior=lambda params: vj.Normal(zeros, zeros),
  )


def test_the_exact_posterior_has_uniform_ranks(key):
  """False alarm below 1e-4: Bonferroni over three dimensions."""
  found = calibration(key, make_model(), {})
  assert found.ranks.shape == (1000, SIZE)
  assert found.num_draws == 99
  assert (found.ranks.min(), found.ranks.max()) == (0, 99)
  np.testing.assert_array_equal(found.histogram.sum(axis=1), 1000)
  assert found.p_value > 1e-4
  # Variance of 1000 uniform ranks: relative standard error .028.
  assert np.all(np.abs(found.spread - 1) < 5 * 0.028)


@pytest.mark.quick('narrow')
@pytest.mark.parametrize(
  ('options', 'narrow'),
  [({'scale': 0.8}, True), ({'scale': 1.3}, False)],
  ids=['narrow', 'wide'],
)
def test_a_wrong_scale_is_detected(key, options, narrow):
  found = calibration(key, make_model(**options), {})
  assert found.power(options['scale'], false_alarm_rate=1e-4) > 0.99
  assert np.all(found.p_values < 1e-4)
  assert np.all((found.spread > 1) == narrow)


@pytest.mark.slow
def test_a_shift_is_detected_by_the_side_of_the_ranks(key):
  found = calibration(key, make_model(shift=0.3), {})
  assert np.all(found.p_values < 1e-4)
  # q above z: few samples are below z.
  assert np.all(found.ranks.mean(axis=0) < 45)


def test_ranks_of_discrete_latents_are_uniform(key):
  """q = p(z|x) of bits, whose draws equal z half the time."""
  logits = jnp.array([0.0, 1.0])
  model = vj.VAE(
    init=lambda key: {},
    encode=lambda params, x: vj.Bernoulli(logits),
    decode=lambda params, z: vj.Normal(jnp.zeros(2), 0.0),
    prior=lambda params: vj.Bernoulli(logits),
  )
  assert calibration(key, model, {}).p_value > 1e-4


@pytest.mark.slow
def test_conditions_of_the_data_are_used(key):
  """z ~ N(y, 1) given y: q sees y, or the ranks are not uniform."""
  ones = jnp.zeros(1)

  def make(sees):
    return vj.ConditionalVAE(
      init=lambda key: {},
      encode=lambda params, x, y: vj.Normal(
        (x + sees * y) / 2, -0.34657 + ones
      ),
      decode=lambda params, z, y: vj.Normal(z, ones),
      prior=lambda params, y: vj.Normal(y, ones),
    )

  data = {'x': jnp.zeros((7, 1)), 'y': jnp.linspace(-3, 3, 7)[:, None]}
  assert calibration(key, make(1.0), {}, data).p_value > 1e-4
  assert calibration(key, make(0.0), {}, data).p_value < 1e-4
  with pytest.raises(ValueError, match='data: got None'):
    calibration(key, make(1.0), {})


def test_dict_latents_are_concatenated_by_name(key):
  zeros = jnp.zeros(2)

  def chain(scale):
    z1 = vj.Conditional(lambda scale, z: vj.Normal(z['z2'], scale), scale)
    return vj.Chain(z2=vj.Normal(zeros, zeros), z1=z1)

  model = vj.VAE(
    init=lambda key: {},
    encode=lambda params, x: chain(zeros + jnp.log(0.5)),
    decode=lambda params, z: vj.Normal(zeros, zeros),
    prior=lambda params: chain(zeros),
  )
  found = calibration(key, model, {})
  assert found.ranks.shape == (1000, 4)
  np.testing.assert_array_equal(
    found.p_values < 1e-4, [True, True, False, False]
  )


@pytest.mark.slow
def test_chunks_do_not_change_the_ranks(key, monkeypatch):
  from vae_jax.evaluate import chunks

  whole = calibration(key, make_model(), {}, num_simulations=100)
  monkeypatch.setattr(chunks, 'CHUNK_FLOATS', 102 * 13)
  parts = calibration(key, make_model(), {}, num_simulations=100)
  np.testing.assert_array_equal(whole.ranks, parts.ranks)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'num_bins': 1}, 'num_bins is 1'),
    ({'num_draws': 100}, r'num_draws \+ 1 must be a multiple'),
    ({'num_simulations': 99}, 'at least 5 per bin, 100'),
  ],
)
def test_numbers_out_of_range_are_refused(key, options, message):
  with pytest.raises(ValueError, match=message):
    calibration(key, make_model(), {}, **options)


def test_power_of_a_scale_that_is_right_is_the_false_alarm_rate(key):
  found = calibration(key, make_model(), {}, num_simulations=100)
  assert found.power(1.0, false_alarm_rate=0.05) == pytest.approx(
    0.05, rel=1e-3
  )
  with pytest.raises(ValueError, match='scale is 0'):
    found.power(0.0)


@pytest.mark.slow
@pytest.mark.parametrize(('scale', 'count'), [(1.0, 200), (0.9, 200)])
@pytest.mark.long
def test_stated_rates_over_repetitions(key, scale, count):
  """200 repetitions of 1000 simulations: rates within 4 standard errors.

  Binomial over 600 tests, for the false-alarm rate of 5 % and the power; the
  chi-square approximation is off by less than a standard error here.
  """
  all_ranks = calibration(
    key, make_model(scale), {}, num_simulations=1000 * count
  ).ranks
  parts = [
    summarise(ranks, 99, 20) for ranks in np.split(all_ranks, count, axis=0)
  ]
  measured = np.mean([part.p_values < 0.05 for part in parts])
  stated = parts[0].power(scale, false_alarm_rate=0.05)
  error = np.sqrt(stated * (1 - stated) / (SIZE * count))
  assert abs(measured - stated) < 4 * error
  if scale == 1.0:
    p_values = np.concatenate([part.p_values for part in parts])
    assert stats.kstest(p_values, 'uniform').pvalue > 1e-4
