"""Choice of an estimator in cases whose variances are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from vae_jax.evaluate import make_chooser
from vae_jax.evaluate.choice import choose_estimator

UNIT = vj.Normal(1.0, 0.0)
ZEROS = jnp.zeros(3)


def log_joint(z):
  """z ~ N(0, 1), x = 1 ~ N(z, 1): p(z|x) = N(1/2, 1/2)."""
  prior = vj.Normal(ZEROS, ZEROS).log_prob(z)
  return prior + vj.Normal(z, ZEROS).log_prob(jnp.ones(3))


# Near the posterior DReG has next to no variance; where q is narrow, its
# 1 / sigma is far above sigma, that of the plain gradient.
NEAR = vj.Normal(jnp.full(3, 0.52), jnp.full(3, 0.5 * np.log(0.5) + 0.02))
NARROW = vj.Normal(ZEROS + 0.5, jnp.full(3, -3.0))
CASES = {
  'exp': ('score_function', UNIT, {'f': lambda x: jnp.exp(-10 * x**2)}),
  'cos': ('score_function', UNIT, {'f': lambda x: jnp.cos(5 * x)}),
  'quadratic': ('pathwise', UNIT, {'f': lambda x: (x - 3) ** 2}),
  'near': ('dreg', NEAR, {'log_joint': log_joint, 'num_samples': 5}),
  'narrow': ('pathwise', NARROW, {'log_joint': log_joint}),
}


@pytest.mark.quick('cos')
@pytest.mark.parametrize('name', CASES)
def test_the_known_best_estimator_is_chosen(name, key):
  best, q, options = CASES[name]
  found = choose_estimator(key, q, budget=3000, **options)
  assert found.best == best
  assert found.probability_wrong < 0.05
  assert sum(s.probability for s in found.table.values()) == pytest.approx(1)
  assert all(s.bias_z < 5 for s in found.table.values())
  assert str(found).count('<- best') == 1


@pytest.mark.slow
@pytest.mark.parametrize('name', CASES)
def test_the_choice_is_right_for_twenty_seeds(name):
  best, q, options = CASES[name]
  if 'f' in options:
    f = options['f']
    surrogates = {
      'pathwise': lambda key, q: vj.pathwise(key, q, f),
      'score_function': lambda key, q: vj.score_function(key, q, f),
    }
  else:
    k = options.get('num_samples', 1)
    surrogates = {
      e: lambda key, q, e=e: vj.iw_elbo(
        key, q, log_joint, num_samples=k, estimator=e
      )
      for e in ('pathwise', 'dreg', 'score_function')
    }
  choose = make_chooser(surrogates, q, budget=4000)
  found = [choose(jax.random.key(seed), q) for seed in range(20)]
  assert [each.best for each in found] == [best] * 20
  assert max(each.probability_wrong for each in found) < 0.05


def test_variances_are_those_in_closed_form(key):
  """d/dtheta E[x^2], x ~ N(theta, 1): pathwise 4, score theta^4+14 theta^2+15.

  Within 5 standard errors, computed from groups of draws.
  """
  surrogates = {
    name: lambda key, theta, e=e: e(key, vj.Normal(theta, 0.0), jnp.square)
    for name, e in (('path', vj.pathwise), ('score', vj.score_function))
  }
  found = make_chooser(surrogates, 1.0, budget=60_000)(key, jnp.array(1.0))
  for name, exact in (('path', 4.0), ('score', 30.0)):
    variance = found.table[name].variance
    assert abs(variance.mean - exact) < 5 * variance.standard_error
    assert variance.standard_error < 0.1 * exact
  score = found.table['score']
  assert score.variance_times_cost.mean == pytest.approx(
    score.variance.mean * score.cost
  )


def test_a_biased_estimator_is_not_chosen(key):
  """The naive exchange has mean 0 for 2 and no variance."""
  surrogates = {
    'pathwise': lambda key, m: vj.pathwise(key, vj.Normal(m, 0.0), jnp.square),
    'naive': lambda key, m: (
      jnp.square(vj.sample(key, vj.Normal(m, 0.0))) + 0 * m
    ),
  }
  found = make_chooser(surrogates, 1.0, budget=1000)(key, jnp.array(1.0))
  assert found.best == 'pathwise'
  assert found.table['naive'].is_biased
  assert found.table['naive'].probability == 0
  assert found.table['naive'].bias == pytest.approx(2, abs=0.5)


@pytest.mark.slow
def test_discrete_latents_have_candidates_of_their_own(key):
  q = vj.Bernoulli(jnp.array([0.3, -1.0]))
  found = choose_estimator(key, q, lambda z: jnp.sum(z) ** 2, budget=2000)
  assert found.best == 'enumeration'
  assert found.table['enumeration'].variance.mean < 1e-9
  assert set(found.table) == {
    *('score_function', 'leave_one_out', 'disarm', 'enumeration')
  }


@pytest.mark.slow
def test_candidates_known_to_be_biased_are_not_chosen(key):
  q = vj.Bernoulli(jnp.array([0.3, -1.0]))
  names = ['score_function', 'straight_through']
  given = choose_estimator(
    key, q, lambda z: jnp.sum(z) ** 2, budget=2000, candidates=names
  )
  assert given.table['straight_through'].is_biased
  assert given.best == 'score_function'


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({}, 'either f or log_joint'),
    ({'f': jnp.square, 'log_joint': jnp.square}, 'either f or log_joint'),
    ({'f': jnp.square, 'candidates': ['reinforce']}, "got 'reinforce'"),
    ({'f': jnp.square, 'budget': 95}, 'must be at least 96'),
    ({'f': jnp.square, 'candidates': ['disarm']}, 'none is admissible. disarm'),
  ],
)
def test_a_mistake_is_named(options, message, key):
  with pytest.raises(ValueError, match=message):
    choose_estimator(key, UNIT, **options)
