"""Properties of a distribution that state which of its methods work."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
import vae_jax.distributions as vd
from tests.distributions.families import FAMILIES
from vae_jax.distributions.logged_draw import plain

INDEPENDENT = vd.Chain(a=vd.Normal(0.0, 0.0), b=vd.Gamma(1.0, 0.0))
OTHERS = [
  vd.Bernoulli(jnp.zeros(2)),
  vd.Categorical(jnp.zeros((2, 3))),
  vd.CategoricalPixels(jnp.zeros((2, 256))),
  vd.DiscretisedLogistic(jnp.zeros(2), 0.0),
  vd.DiscretisedLogisticMixture(
    jnp.zeros((2, 3)), jnp.zeros((2, 3, 1)), jnp.zeros((2, 3, 1))
  ),
  vd.Poisson(jnp.zeros(2)),
  vd.NegativeBinomial(jnp.zeros(2), 0.0),
  vd.ZeroInflatedNegativeBinomial(jnp.zeros(2), 0.0, 0.0),
  vd.MultivariateNormal(jnp.zeros(2), jnp.eye(2)),
  vd.LowRankNormal(jnp.zeros(2), 0.0, jnp.ones((2, 1))),
  vd.RelaxedCategorical(0.7, jnp.zeros(3)),
  vd.Chain(
    a=vd.Normal(0.0, 0.0),
    b=vd.Conditional(lambda _, z: vd.Normal(z['a'], 0.0)),
  ),
  vd.Mixture(jnp.zeros(2), vd.Normal(jnp.zeros((2, 3)), jnp.zeros((2, 3)))),
  vd.Transformed(vd.Normal(jnp.zeros(2), 0.0), [vd.Affine(0.5, 0.1)]),
]
EVERY = {type(q).__name__: q for q in OTHERS} | FAMILIES
EVERY['independent Chain'] = INDEPENDENT

_RELAXED = {'RelaxedBernoulli', 'RelaxedCategorical'}
SAMPLED_ENTROPY = {
  *('Poisson', 'NegativeBinomial', 'ZeroInflatedNegativeBinomial'),
  'DiscretisedLogisticMixture',
}
WITHOUT_ENTROPY = (
  SAMPLED_ENTROPY | _RELAXED | {*('Chain', 'Mixture', 'Transformed')}
)
WITHOUT_MOMENTS = _RELAXED | {
  *('Chain', 'Transformed', 'Categorical', 'Cauchy')
}


def works(*methods):
  """Returns True if each method returns instead of raising `TypeError`."""
  try:
    jax.eval_shape(lambda: [method() for method in methods])
  except TypeError:
    return False
  return True


def test_every_exported_family_is_covered():
  families = {
    name
    for name, each in vars(vd).items()
    if inspect.isclass(each)
    and issubclass(each, vd.Distribution)
    and each not in (vd.Distribution, vd.LocationScale)
  }
  assert families == EVERY.keys() - {'independent Chain'}


@pytest.mark.quick('Normal', 'Gamma', 'Categorical', 'Chain', 'Transformed')
@pytest.mark.parametrize('name', EVERY)
def test_properties_are_true_where_the_methods_work(name):
  q = EVERY[name]
  assert q.has_entropy == works(q.entropy) == (name not in WITHOUT_ENTROPY)
  # The moments of a Cauchy are nan instead of an error.
  moments = works(q.mean, q.variance) and name != 'Cauchy'
  assert q.has_moments == moments == (name not in WITHOUT_MOMENTS)
  z = jax.tree.map(
    lambda x: jnp.zeros(x.shape, x.dtype),
    jax.eval_shape(q.sample, jax.random.key(0)),
  )
  assert q.has_inverse
  assert works(lambda: q.log_prob(z))
  discrete = not works(lambda: q.draw(jax.random.key(0)))
  assert q.is_discrete == discrete


@pytest.mark.quick(
  'Normal', 'Gamma', 'Categorical', 'RelaxedBernoulli', 'Mixture'
)
@pytest.mark.parametrize('name', EVERY)
def test_draw_and_log_prob_is_draw_then_log_prob(name):
  q, key = EVERY[name], jax.random.key(7)
  if q.is_discrete:
    with pytest.raises(TypeError, match=f'{name} is discrete'):
      q.draw_and_log_prob(key)
    return

  def separate(q):
    z = q.draw(key)
    return z, q.log_prob(z)

  # Equal equations have equal bits; a Chain builds its conditionals once.
  with jax.debug_key_reuse(False):
    if name in ('LowRankNormal', 'Transformed'):
      # In one pass, without the inverse.
      for x, y in zip(q.draw_and_log_prob(key), separate(q), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-6)
    elif 'Chain' in name:
      joint = lambda q: q.draw_and_log_prob(key)
      first, second = jax.jit(separate)(q), jax.jit(joint)(q)
      jax.tree.map(np.testing.assert_array_equal, first, second)
    else:
      joint = jax.make_jaxpr(lambda q: q.draw_and_log_prob(key))(q)
      assert str(joint) == str(jax.make_jaxpr(separate)(q))


@vj.distribution
class Planar(vj.Distribution):
  """A user's flow that knows its density for its own draws only."""

  weight: jax.Array
  scale: jax.Array

  @property
  def shape(self):
    return jnp.shape(self.weight)

  def draw_and_log_prob(self, key):
    eps = jax.random.normal(key, self.shape)
    inner = jnp.tanh(self.weight @ eps)
    z = eps + self.scale * inner
    log_det = jnp.log1p((1 - inner**2) * (self.weight @ self.scale))
    return z, jnp.sum(jax.scipy.stats.norm.logpdf(eps)) - log_det


PLANAR = Planar(jnp.array([0.5, -0.3, 0.8]), jnp.array([1.0, 0.2, 0.4]))


def test_a_flow_without_inverse_is_reparameterised(key):

  @jax.jit
  def program(q, key):
    slope = jax.grad(lambda q: jnp.sum(vj.reparameterise(key, q)))(q)
    draws = vj.reparameterise(key, q), vj.sample(key, q)
    return q.draw_and_log_prob(key), draws, slope

  with jax.debug_key_reuse(False):
    (z, log_q), draws, slope = program(PLANAR, key)
  for draw in draws:
    np.testing.assert_array_equal(draw, z)
  assert all(np.all(x != 0) for x in jax.tree.leaves(slope))
  many = jax.eval_shape(lambda key: vj.reparameterise_many(key, PLANAR, 4), key)
  assert many.shape == (4, 3)
  # The density at z by the change of variables of the planar map.
  eps = jax.random.normal(jax.random.clone(key), (3,))
  jacobian = jax.jacobian(
    lambda eps: eps + PLANAR.scale * jnp.tanh(PLANAR.weight @ eps)
  )(eps)
  exact = vj.Normal(jnp.zeros(3), 0.0).log_prob(eps)
  np.testing.assert_allclose(
    log_q, exact - jnp.log(jnp.linalg.det(jacobian)), rtol=1e-5
  )


def test_log_prob_of_a_flow_without_inverse_is_refused_by_name():
  assert not PLANAR.has_inverse
  assert not PLANAR.has_entropy
  assert not PLANAR.has_moments
  with pytest.raises(TypeError, match='Planar has no inverse: log q'):
    PLANAR.log_prob(jnp.zeros(3))
  with pytest.raises(TypeError, match='Planar has no inverse: log q'):
    vj.score_function(jax.random.key(0), PLANAR, jnp.sum)
  chain = vj.Chain(z=PLANAR, x=vj.Normal(0.0, 0.0))
  assert not chain.has_inverse
  z, _ = chain.draw_and_log_prob(jax.random.key(0))
  with pytest.raises(TypeError, match='Planar has no inverse'):
    chain.log_prob(z)


@pytest.mark.parametrize(
  ('methods', 'expected'),
  [
    ((), (False, False, False)),
    (('entropy',), (True, False, False)),
    (('mean',), (False, False, False)),
    (('mean', 'variance'), (False, True, False)),
    (('log_prob',), (False, False, True)),
    (('inverse', 'transform', 'noise_log_prob'), (False, False, True)),
  ],
)
def test_a_users_class_has_what_it_overrides(methods, expected):
  define = lambda self, *args: jnp.zeros(())
  namespace = dict.fromkeys(methods, define) | {'shape': ()}
  base = type('Base', (vj.Distribution,), namespace)
  # Inherited overrides count as well.
  q = type('Derived', (base,), {})()
  assert (q.has_entropy, q.has_moments, q.has_inverse) == expected
  assert works(q.entropy) == expected[0]
  assert works(q.mean, q.variance) == expected[1]
  assert works(lambda: q.log_prob(jnp.zeros(()))) == expected[2]


def test_a_users_class_may_declare_that_it_has_no_inverse():
  class Declared(vj.Distribution):
    has_inverse = False

    def inverse(self, z):
      return z

  with pytest.raises(TypeError, match='Declared has no inverse'):
    Declared().log_prob(jnp.zeros(()))


def test_numpyro_distributions_state_what_numpyro_implements():
  nd = pytest.importorskip('numpyro.distributions')
  logits = nd.Categorical(logits=jnp.zeros(2))
  mixture = nd.MixtureSameFamily(logits, nd.Normal(jnp.zeros(2), 1.0))
  squashed = nd.TransformedDistribution(
    nd.Normal(0.0, 1.0), nd.transforms.SigmoidTransform()
  )
  for d, entropy, moments, discrete in [
    (nd.Normal(0.0, 1.0), True, True, False),
    (nd.Normal(jnp.zeros(2), 1.0).to_event(1), True, True, False),
    (mixture, False, True, False),
    (squashed, False, False, False),
    (nd.Bernoulli(logits=0.3), True, True, True),
    (nd.SoftLaplace(0.0, 1.0), False, True, False),
    (nd.Kumaraswamy(2.0, 1.0), False, True, False),
    (nd.GaussianRandomWalk(1.0, 3), False, True, False),
    (nd.LogNormal(0.0, 1.0), True, True, False),
  ]:
    q = vd.from_numpyro(d)
    assert q.has_entropy == works(q.entropy) == entropy, d
    assert q.has_moments == works(q.mean, q.variance) == moments, d
    assert q.has_inverse
    assert q.is_discrete == discrete


@pytest.mark.slow
def test_supports_are_those_of_the_densities():
  """log_prob is finite inside the support, and a bijection covers it."""
  known = {name: q for name, q in EVERY.items() if q.support}
  unknown = EVERY.keys() - known.keys()
  assert unknown == {
    *('CategoricalPixels', 'DiscretisedLogistic', 'RelaxedCategorical'),
    *SAMPLED_ENTROPY,
    *('Chain', 'independent Chain', 'Pareto', 'Uniform'),
  }
  y = jnp.array([-20.0, -1.0, 0.3, 5.0])
  for name, q in known.items():
    support = q.support
    if q.is_discrete:
      assert support.from_reals is None
      continue
    z = support.from_reals(y)
    np.testing.assert_allclose(support.to_reals(z), y, rtol=1e-5)
    slope = jax.vmap(jax.grad(lambda y, s=support: plain(s.from_reals(y))))(y)
    np.testing.assert_allclose(
      support.log_det(y), np.sum(np.log(slope)), rtol=1e-4, atol=1e-4
    )
    if q.shape == y.shape:
      assert np.isfinite(q.log_prob(plain(support.from_reals(y / 10)))), name
