"""Hierarchical distributions against the multivariate normal they equal."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import vae_jax as vj
import vae_jax.distributions as vd
from tests.helpers import assert_mean, assert_trees_close

W = np.array([[1.0, -0.5], [0.3, 0.8], [0.0, 0.6]])
Z = {'z1': jnp.array([0.4, -0.2, 1.0]), 'z2': jnp.array([0.1, -0.7])}
PARAMS = {'weights': jnp.array(W), 'log_scale': jnp.array(-0.5)}


def linear(params, z):
  return vj.Normal(params['weights'] @ z['z2'], params['log_scale'])


def chain(params=PARAMS, loc=(0.5, -1.0), log_scale=0.2):
  """Returns z2 ~ N, z1 | z2 ~ N(W z2, exp(log_scale)^2)."""
  top = vj.Normal(jnp.array(loc), jnp.array(log_scale))
  return vj.Chain(z2=top, z1=vj.Conditional(linear, params))


def joint():
  """Returns the mean and covariance of (z1, z2) in `chain()`."""
  top = np.exp(0.4) * np.eye(2)
  cross = W @ top
  below = W @ cross.T + np.exp(-1.0) * np.eye(3)
  mean = np.concatenate([W @ [0.5, -1.0], [0.5, -1.0]])
  return mean, np.block([[below, cross], [cross.T, top]])


def flat(z):
  return np.concatenate([np.asarray(z['z1']), np.asarray(z['z2'])], axis=-1)


@functools.cache
def drawn():
  """Returns draws, their log_prob, noises and inverses of `chain()`."""

  @jax.jit
  @functools.partial(jax.vmap, in_axes=(None, 0))
  def program(q, key):
    z, log_q = q.draw_and_log_prob(key)
    eps = q.noise(key)
    opposite = q.transform(q.mirror(eps))
    changed = vd.change_of_variables(q, z)
    return {
      'z': z,
      'log_q': log_q,
      'again': q.log_prob(z),
      'draw': vj.reparameterise(key, q),
      'sample': vj.sample(key, q),
      'eps': eps,
      'transformed': q.transform(eps),
      'inverse': q.inverse(z),
      'opposite': opposite,
      'changed': changed,
    }

  with jax.debug_key_reuse(False):
    return program(chain(), jax.random.split(jax.random.key(0), 20_000))


def test_log_prob_is_that_of_the_joint_multivariate_normal():
  mean, covariance = joint()
  exact = stats.multivariate_normal(mean, covariance).logpdf(flat(Z))
  value = chain().log_prob(Z)
  assert value.shape == ()
  np.testing.assert_allclose(value, exact, rtol=1e-5)


def test_draws_have_the_joint_mean_and_covariance():
  mean, covariance = joint()
  for z in (drawn()['z'], drawn()['opposite']):
    deviation = flat(z) - mean
    assert_mean(flat(z), mean)
    outer = deviation[:, :, None] * deviation[:, None]
    assert_mean(outer, covariance)


def test_draw_sample_and_transform_of_noise_are_the_same_event():
  found = drawn()
  for name in ('draw', 'sample', 'transformed'):
    # Releases of XLA fuse the products differently: equal to rounding.
    assert_trees_close(found[name], found['z'], rtol=1e-5, atol=1e-6)


def test_draw_and_log_prob_is_draw_then_log_prob():
  found = drawn()
  np.testing.assert_allclose(
    found['log_q'], found['again'], rtol=1e-5, atol=1e-5
  )


def test_inverse_returns_the_noise():
  found = drawn()
  assert_trees_close(found['inverse'], found['eps'], rtol=1e-4, atol=1e-4)
  np.testing.assert_allclose(found['changed'], found['log_q'], rtol=1e-4)


def test_noise_is_independent_of_the_parameters():
  other = jax.tree.map(lambda x: 1.3 * x + 0.1, chain())
  jax.tree.map(
    np.testing.assert_array_equal,
    chain().noise(jax.random.key(3)),
    other.noise(jax.random.key(3)),
  )


def test_the_shape_is_a_dict_and_a_wrong_event_is_named():
  q = chain()
  assert q.shape == {'z1': (3,), 'z2': (2,)}
  with pytest.raises(ValueError, match=r"got \['z1'\], expected .*'z2'"):
    q.log_prob({'z1': Z['z1']})
  with pytest.raises(ValueError, match='z: got ArrayImpl, expected a dict'):
    q.log_prob(Z['z1'])
  with pytest.raises(ValueError, match=r'z has shape \(2,\)'):
    q.log_prob({'z1': Z['z2'], 'z2': Z['z2']})
  vd.base.check_event('z', Z, q)
  with pytest.raises(ValueError, match=r"'z1': \(2,\).*one event of Chain"):
    vd.base.check_event('z', {'z1': Z['z2'], 'z2': Z['z2']}, q)


def test_the_leaves_are_the_parameters_of_every_part():
  q = chain()
  paths = [
    jax.tree_util.keystr(path)
    for path, _ in jax.tree_util.tree_leaves_with_path(q)
  ]
  assert sorted(paths) == [
    ".parts['z1'].params['log_scale']",
    ".parts['z1'].params['weights']",
    ".parts['z2'].loc",
    ".parts['z2'].log_scale",
  ]
  assert jax.tree.map(jnp.zeros_like, q).order == ('z2', 'z1')


def test_stop_gradient_stops_every_parameter_while_z_stays_differentiable():
  """Sticking the landing: only the path through z is differentiated."""
  density = lambda q, z: jax.lax.stop_gradient(q).log_prob(z)

  @jax.jit
  def program(q, z):
    alone = jax.grad(lambda z: q.parts['z2'].log_prob(z))(z['z2'])
    whole = jax.grad(lambda q, z: q.log_prob(z), (0, 1))(q, z)
    return jax.grad(density, (0, 1))(q, z), whole, alone

  (of_q, of_z), whole, alone = program(chain(), Z)
  assert all(not np.any(x) for x in jax.tree.leaves(of_q))
  assert all(np.any(x) for x in jax.tree.leaves(whole[0]))
  assert_trees_close(of_z, whole[1])
  # z2 enters the density of z1 too.
  assert not np.allclose(of_z['z2'], alone)


def cost(z):
  return jnp.sum(z['z1'] ** 2) + jnp.sum(z['z1'][:2] * z['z2'])


def expected_cost(q):
  """Returns E[cost] in closed form from the parameters of `chain()`."""
  top, params = q.parts['z2'], q.parts['z1'].params
  second = jnp.outer(top.loc, top.loc) + jnp.exp(2 * top.log_scale) * jnp.eye(2)
  w = params['weights']
  squares = jnp.trace(w @ second @ w.T) + 3 * jnp.exp(2 * params['log_scale'])
  return squares + jnp.trace(w[:2] @ second)


ESTIMATORS = {
  'pathwise': vj.pathwise,
  'antithetic': functools.partial(vj.pathwise, num_samples=2, antithetic=True),
  'score': vj.score_function,
  'leave one out': functools.partial(
    vj.score_function, num_samples=2, baseline='leave_one_out'
  ),
}


@functools.cache
def gradients():
  """Returns 40,000 gradients of each estimator, compiled together."""

  @jax.jit
  @functools.partial(jax.vmap, in_axes=(None, 0))
  def program(q, key):
    return {
      name: jax.grad(lambda q, e=estimator: e(key, q, cost))(q)
      for name, estimator in ESTIMATORS.items()
    }

  with jax.debug_key_reuse(False):
    return program(chain(), jax.random.split(jax.random.key(1), 40_000))


@pytest.mark.slow
@pytest.mark.parametrize('name', ESTIMATORS)
def test_gradients_are_unbiased_in_the_parameters_of_both_layers(name):
  exact = jax.grad(expected_cost)(chain())
  jax.tree.map(assert_mean, gradients()[name], exact)


def test_the_delta_baseline_is_refused_for_a_dict_of_latents():
  q = vj.Chain(a=vj.Normal(0.0, 0.0), b=vj.Normal(0.0, 0.0))
  f = lambda z: z['a'] * z['b']
  with pytest.raises(TypeError, match="baseline 'delta': got a Chain"):
    jax.eval_shape(
      lambda key: vj.score_function(key, q, f, baseline='delta'),
      jax.random.key(0),
    )


def test_opposite_drawing_orders_share_one_event(key):
  """q draws z1 first, p draws z2 first: z of q is an event of p."""
  q = vj.Chain(
    z1=vj.Normal(jnp.zeros(3), 0.0),
    z2=vj.Conditional(lambda w, z: vj.Normal(w @ z['z1'], 0.1), jnp.array(W.T)),
  )
  p = chain()
  z = vj.reparameterise(key, q)
  first = vj.Normal(jnp.zeros(3), 0.0).log_prob(z['z1'])
  second = vj.Normal(W.T @ z['z1'], 0.1).log_prob(z['z2'])
  np.testing.assert_allclose(q.log_prob(z), first + second, rtol=1e-6)
  mean, covariance = joint()
  exact = stats.multivariate_normal(mean, covariance).logpdf(flat(z))
  np.testing.assert_allclose(p.log_prob(z), exact, rtol=1e-5)
  assert q.shape == p.shape


def test_kl_of_chains_has_no_closed_form():
  assert not vd.has_kl(chain(), chain())
  with pytest.raises(TypeError, match=r'KL\(Chain \|\| Chain\) has no closed'):
    vj.kl(chain(), chain())


@pytest.mark.slow
def test_entropy_and_moments_need_unconditional_parts():
  q = chain()
  assert not q.has_entropy
  assert not q.has_moments
  for quantity in ('entropy', 'mean', 'variance'):
    with pytest.raises(TypeError, match=f'Chain has no closed-form {quantity}'):
      getattr(q, quantity)()
  a, b = vj.Normal(jnp.ones(2), 0.3), vj.Gamma(2.0, 0.1)
  q = vj.Chain(b=b, a=a)
  assert q.has_entropy
  assert q.has_moments
  np.testing.assert_allclose(q.entropy(), a.entropy() + b.entropy(), rtol=1e-6)
  assert_trees_close(q.mean(), {'a': a.mean(), 'b': b.mean()})
  assert_trees_close(q.variance(), {'a': a.variance(), 'b': b.variance()})
  q = vj.Chain(a=a, b=vd.RelaxedBernoulli(0.5, 0.1))
  assert not q.has_entropy
  assert not q.has_moments


def test_a_discrete_part_is_sampled_but_not_reparameterised(key):
  q = vj.Chain(
    label=vj.Categorical(jnp.array([0.2, -0.3, 0.9])),
    z=vj.Conditional(
      lambda loc, z: vj.Normal(loc[z['label']], 0.0), jnp.ones(3)
    ),
  )
  assert q.is_discrete
  assert not chain().is_discrete
  draw = vj.sample(key, q)
  assert np.isfinite(q.log_prob(draw))
  total = lambda z: jnp.sum(z['z'])
  with pytest.raises(TypeError, match=r'Categorical is discrete.*score_funct'):
    vj.pathwise(jax.random.key(0), q, total)
  value = lambda q: vj.score_function(jax.random.key(0), q, total)
  slope = jax.jit(jax.grad(value))(q)
  assert np.any(slope.parts['label'].logits)


def test_a_conditional_raises_on_a_gradient_that_an_estimator_lacks():
  scale = lambda s, z: vj.Pareto(2.0, s * z['a'])
  q = lambda s: vj.Chain(a=vj.Normal(0.0, 0.0), b=vj.Conditional(scale, s))
  total = lambda z: z['b']
  score = lambda s: vj.score_function(jax.random.key(0), q(s), total)
  jax.eval_shape(score, 1.0)
  with pytest.raises(
    TypeError, match=r'Pareto has no score-function.*log_scale'
  ):
    jax.eval_shape(jax.grad(score), 1.0)
  pathwise = lambda s: vj.pathwise(jax.random.key(0), q(s), total)
  assert jax.jit(jax.grad(pathwise))(1.0) != 0.0


def test_three_layers_condition_on_all_the_earlier_latents(key):
  q = vj.Chain(
    c=vj.Normal(jnp.zeros(2), 0.0),
    b=vj.Conditional(lambda w, z: vj.Laplace(w * z['c'], 0.1), jnp.array(0.7)),
    a=vj.Conditional(
      lambda w, z: vj.Normal(jnp.sum(w * z['b'] * z['c']), 0.3), jnp.array(1.1)
    ),
  )
  seen = []
  spy = vj.Chain(
    c=q.parts['c'],
    b=vj.Conditional(lambda _, z: seen.append(sorted(z)) or q.parts['c']),
    a=vj.Conditional(lambda _, z: seen.append(sorted(z)) or q.parts['c']),
  )
  spy.log_prob({name: jnp.zeros(2) for name in 'abc'})
  assert seen == [['c'], ['b', 'c']]
  z, log_q = q.draw_and_log_prob(key)
  exact = (
    stats.norm.logpdf(z['c']).sum()
    + stats.laplace.logpdf(z['b'], 0.7 * z['c'], np.exp(0.1)).sum()
    + stats.norm.logpdf(z['a'], 1.1 * np.sum(z['b'] * z['c']), np.exp(0.3))
  )
  np.testing.assert_allclose(log_q, exact, rtol=1e-5)
  slopes = jax.grad(lambda q: vj.reparameterise(jax.random.key(0), q)['a'])(q)
  assert all(np.any(x) for x in jax.tree.leaves(slopes.parts['b'].params))
  assert np.all(np.asarray(slopes.parts['c'].loc) != 0.0)


def test_a_batch_of_chains_under_vmap_is_a_loop():
  locs = jnp.array([[0.5, -1.0], [2.0, 0.3]])
  batch = jax.vmap(lambda loc: chain(loc=loc))(locs)
  values = jax.jit(jax.vmap(lambda q: q.log_prob(Z)))(batch)
  loop = [chain(loc=loc).log_prob(Z) for loc in locs]
  np.testing.assert_allclose(values, loop, rtol=1e-6)


def test_one_function_object_compiles_once():
  traced = []

  @jax.jit
  def density(q):
    traced.append(q)
    return q.log_prob(Z)

  for scale in (0.1, 0.2):
    density(chain(log_scale=scale))
  assert len(traced) == 1


def test_chains_nest():
  inner = chain()
  q = vj.Chain(
    pair=inner,
    x=vj.Conditional(
      lambda s, z: vj.Normal(jnp.sum(z['pair']['z1']), s), jnp.array(0.0)
    ),
  )
  assert q.shape == {'pair': {'z1': (3,), 'z2': (2,)}, 'x': ()}
  z = vj.reparameterise(jax.random.key(0), q)
  exact = inner.log_prob(z['pair']) + stats.norm.logpdf(
    z['x'], np.sum(z['pair']['z1'])
  )
  np.testing.assert_allclose(q.log_prob(z), exact, rtol=1e-5)


@pytest.mark.parametrize('part', [lambda z: vj.Normal(0.0, 0.0), 3.0])
def test_a_part_of_another_type_is_refused(part):
  with pytest.raises(TypeError, match=r'Chain: z1 is a .*vj\.Conditional'):
    vj.Chain(z2=vj.Normal(0.0, 0.0), z1=part)


def test_no_parts_are_refused():
  with pytest.raises(ValueError, match='Chain: got no parts'):
    vj.Chain()


def test_a_conditional_must_return_a_distribution(key):
  q = vj.Chain(z1=vj.Conditional(lambda params, z: 3.0))
  with pytest.raises(TypeError, match='Conditional: function returned float'):
    q.draw(key)
