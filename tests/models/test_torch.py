import functools
import sys
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import vae_jax as vj
from tests.helpers import BIAS, LOADINGS, NOISE, assert_trees_close
from vae_jax.evaluate.simulation import simulate

torch = pytest.importorskip(
  'torch', reason="torch is not installed: pip install 'vae_jax[recipes]'"
)
nn = torch.nn
PRECISION = 1 + np.sum(LOADINGS**2, axis=0) / NOISE**2


class Gaussian(nn.Module):
  """N(weight x + bias, exp(log_scale)^2), as two tensors."""

  def __init__(self, weight, bias, log_scale):
    super().__init__()
    self.mean = nn.Linear(weight.shape[1], weight.shape[0])
    tensor = lambda x: torch.tensor(np.asarray(x), dtype=torch.float32)
    with torch.no_grad():
      self.mean.weight.copy_(tensor(weight))
      self.mean.bias.copy_(tensor(bias))
    self.log_scale = nn.Parameter(tensor(log_scale))

  def forward(self, x):
    return {'loc': self.mean(x), 'log_scale': self.log_scale}


def gaussian(params, x):
  """The same in jax."""
  loc = params['mean.weight'] @ x + params['mean.bias']
  return {'loc': loc, 'log_scale': params['log_scale']}


def make_vae(encoder, decoder, params):
  return vj.VAE(
    init=lambda key: params,
    encode=lambda params, x: vj.Normal(**encoder(params['encoder'], x)),
    decode=lambda params, z: vj.Normal(**decoder(params['decoder'], z)),
    prior=lambda params: vj.Normal(jnp.zeros(2), jnp.zeros(2)),
  )


def linear_gaussian(offset=0.0, log_factor=0.0):
  """The linear-Gaussian VAE in torch and in jax; q is exact by default."""
  weight = (LOADINGS / NOISE**2 / PRECISION).T
  scale = -0.5 * np.log(PRECISION) + log_factor
  q = Gaussian(weight, offset - weight @ BIAS, scale).eval()
  p = Gaussian(LOADINGS, BIAS, np.full(len(BIAS), np.log(NOISE))).eval()
  encoder, encoder_params = vj.from_torch(q)
  decoder, decoder_params = vj.from_torch(p)
  params = {'encoder': encoder_params, 'decoder': decoder_params}
  return (
    make_vae(encoder, decoder, params),
    make_vae(gaussian, gaussian, params),
    params,
  )


MARGINAL = stats.multivariate_normal(
  BIAS, LOADINGS @ LOADINGS.T + NOISE**2 * np.eye(len(BIAS))
)
DATA = MARGINAL.rvs(9, random_state=np.random.RandomState(0)).astype('float32')


def test_log_marginal_is_exact_where_q_is_exact(key):
  vae, _, params = linear_gaussian()
  nll = vj.estimate_nll(key, vae, params, DATA, num_samples=3)
  np.testing.assert_allclose(-nll.per_example, MARGINAL.logpdf(DATA), atol=1e-5)


def test_log_marginal_within_its_error_where_q_is_not_exact(key):
  """False alarms: 9 examples at 5 standard errors, below 1e-5."""
  vae, _, params = linear_gaussian(offset=0.2, log_factor=0.2)
  curve = vj.estimate_nll_curve(key, vae, params, DATA, num_samples=(2000,))
  spread = 2000 / np.asarray(curve.effective_sample_size) - 1
  assert np.all(spread > 0.01)
  found = -np.asarray(curve.at[2000].per_example)
  z = (found - MARGINAL.logpdf(DATA)) / np.sqrt(spread / 2000)
  assert np.all(np.abs(z) < 5), z


@pytest.mark.slow
def test_sandwich_contains_log_marginal(key):
  """Of the mean over 8 examples; x is simulated as the sandwich does it.

  False alarms: two bounds at 5 standard errors, below 1e-6 were they normal.
  """
  vae, _, params = linear_gaussian()
  count = 8
  found = vj.estimate_sandwich(
    jax.random.clone(key),
    vae,
    params,
    num_examples=count,
    num_chains=8,
    num_temperatures=20,
  )

  def x_of(index):
    data_key, _ = jax.random.split(jax.random.fold_in(key, index))
    return simulate(data_key, vae.condition(params, jnp.zeros(4)))[1]

  exact = MARGINAL.logpdf(np.stack([x_of(i) for i in range(count)]))
  low = found.lower.per_example.log_marginal - exact
  high = found.upper.per_example.log_marginal - exact
  error = lambda x: np.std(x, ddof=1) / np.sqrt(count)
  assert np.mean(low) < 5 * error(low)
  assert np.mean(high) > -5 * error(high)
  assert 0 < found.gap.mean < 0.5
  near = [np.abs(np.mean(low)), np.abs(np.mean(high))]
  assert max(near) < 0.5


@pytest.mark.slow
@pytest.mark.parametrize(
  ('objective', 'estimator'),
  [('elbo', 'pathwise'), ('elbo', 'stl'), ('iwae', 'dreg')],
)
def test_gradients_of_bounds_equal_those_of_the_model_in_jax(
  key, objective, estimator
):
  vae, reference, params = linear_gaussian(offset=0.3, log_factor=0.2)

  def gradient(vae):
    loss = vj.make_loss(
      vae,
      objective=objective,
      estimator=estimator,
      num_samples=1 if objective == 'elbo' else 3,
    )
    grad = jax.jit(jax.value_and_grad(loss, 1, has_aux=True))
    (value, _), found = grad(jax.random.clone(key), params, DATA)
    return value, found

  assert_trees_close(gradient(vae), gradient(reference), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_fit_trains_as_the_model_in_jax(key):
  vae, reference, _ = linear_gaussian(offset=1.0)
  fit = lambda vae: vj.fit(
    jax.random.clone(key), vae, DATA, num_epochs=3, batch_size=3
  )
  (found, history), (exact, expected) = fit(vae), fit(reference)
  assert_trees_close(found, exact, rtol=1e-4)
  np.testing.assert_allclose(history['elbo'], expected['elbo'], rtol=1e-4)


@functools.cache
def mlp():
  torch.manual_seed(0)
  layers = nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)
  return vj.from_torch(nn.Sequential(*layers).eval())


def mlp_in_jax(params, x):
  hidden = jnp.tanh(x @ params['0.weight'].T + params['0.bias'])
  return hidden @ params['2.weight'].T + params['2.bias']


X = np.random.RandomState(1).standard_normal((7, 5)).astype(np.float32)


def twice(tree):
  return jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), tree)


def squares(f):
  return lambda params, x: jnp.sum(f(params, x) ** 2)


def over_examples(f):
  return jax.vmap(f, (None, 0))


def scanned(f):
  """A function whose loop feeds the output back."""

  def total(params, x):
    step = lambda carry, x: (jnp.sum(f(params, x + carry)), f(params, x))
    carry, found = jax.lax.scan(step, jnp.zeros(()), x)
    return carry + jnp.sum(found**2)

  return total


def gradient(f):
  return jax.grad(f, (0, 1))


TRANSFORMED = {
  'one': lambda f, p: f(p, X[0]),
  'batch': lambda f, p: f(p, X),
  'jit': lambda f, p: jax.jit(f)(p, X),
  'vmap': lambda f, p: over_examples(f)(p, X),
  'batch_of_one': lambda f, p: over_examples(f)(p, X[:1]),
  'two_axes': lambda f, p: jax.vmap(over_examples(f), (0, None))(twice(p), X),
  'grad': lambda f, p: gradient(squares(f))(p, X),
  'grad_of_vmap': lambda f, p: jax.jit(gradient(squares(over_examples(f))))(
    p, X
  ),
  'vmap_of_grad': lambda f, p: jax.jit(over_examples(gradient(squares(f))))(
    p, X
  ),
  'vmap_of_grad_of_vmap': lambda f, p: jax.vmap(
    gradient(squares(over_examples(f))), (0, None)
  )(twice(p), X),
  'scan': lambda f, p: jax.jit(gradient(scanned(f)))(p, X),
  'vmap_of_scan': lambda f, p: jax.jit(
    jax.vmap(gradient(scanned(f)), (0, None))
  )(twice(p), X),
  'jacrev': lambda f, p: jax.jacrev(f)(p, X[0]),
  'checkpoint': lambda f, p: over_examples(
    gradient(jax.checkpoint(squares(f)))
  )(p, X),
}


@pytest.mark.quick('one', 'jit', 'vmap', 'grad', 'scan')
@pytest.mark.parametrize('name', TRANSFORMED)
def test_every_transformation_equals_that_of_the_function_in_jax(name):
  apply, params = mlp()
  with jax.numpy_rank_promotion('allow'):
    found, exact = (TRANSFORMED[name](f, params) for f in (apply, mlp_in_jax))
  assert_trees_close(found, exact, rtol=1e-5, atol=1e-5)


def test_derivatives_that_torch_does_not_give_are_refused():
  apply, params = mlp()
  loss = lambda x: squares(apply)(params, x)
  with pytest.raises(TypeError, match='Sequential has no second derivative'):
    jax.grad(lambda x: jnp.sum(jax.grad(loss)(x)))(X)
  for forward in (jax.jacfwd(loss), jax.jit(jax.jacfwd(loss))):
    with pytest.raises(TypeError, match='has no derivative in forward mode'):
      forward(X[0])
  with pytest.raises(TypeError, match='has no derivative in forward mode'):
    jax.jvp(loss, (X,), (X,))


def test_buffers_and_frozen_parameters_are_constants():
  module = nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3))
  module(torch.tensor(X))  # Updates the running statistics.
  module[0].bias.requires_grad_(False)
  expected = module.eval()(torch.tensor(X)).detach().numpy()
  apply, params = vj.from_torch(module)
  assert sorted(params) == ['0.weight', '1.bias', '1.weight']
  one = lambda x: apply(params, x[None])[0]
  np.testing.assert_allclose(jax.vmap(one)(X), expected, rtol=1e-5, atol=1e-6)


def test_later_changes_of_the_module_do_not_matter():
  module = nn.Sequential(nn.Linear(5, 3), nn.Dropout(0.9)).eval()
  apply, params = vj.from_torch(module)
  before = apply(params, X)
  module.train()
  with torch.no_grad():
    module[0].weight.zero_()
    module[0].bias.zero_()
  np.testing.assert_array_equal(apply(params, X), before)
  assert np.any(before != 0)


class Labelled(nn.Module):
  """Uses its weight twice, and integers as torch wants them."""

  def __init__(self):
    super().__init__()
    self.embed = nn.Embedding(3, 4)
    self.out = nn.Linear(4, 3, bias=False)
    self.out.weight = self.embed.weight

  def forward(self, pair):
    x, label = pair
    one_hot = nn.functional.one_hot(label, 3)
    return self.out(x * self.embed(label)) * one_hot, x.sum()


def test_shared_weights_integers_and_trees():
  apply, params = vj.from_torch(Labelled().eval())
  assert list(params) == ['embed.weight']

  def reference(params, pair):
    weight, (x, label) = params['embed.weight'], pair
    out = weight @ (x * weight[label]) * jax.nn.one_hot(label, 3)
    return out, jnp.sum(x)

  def loss(f):
    def total(params, x, label):
      out, total = jax.vmap(f, (None, 0))(params, (x, label))
      return jnp.sum(out**2) + jnp.sum(total**2)

    return jax.jit(jax.value_and_grad(total, (0, 1)))

  given = params, X[:, :4], jnp.arange(7) % 3
  assert_trees_close(
    loss(apply)(*given), loss(reference)(*given), rtol=1e-5, atol=1e-5
  )


def test_float64_where_jax_has_it():
  module = nn.Linear(5, 3).double().eval()
  with pytest.raises(ValueError, match='got float64, expected float32'):
    vj.from_torch(module)
  with jax.enable_x64(True):
    apply, params = vj.from_torch(module)
    x = X.astype(np.float64)
    found = jax.jit(jax.grad(lambda x: jnp.sum(apply(params, x) ** 2)))(x)
    weight, bias = (np.asarray(params[name]) for name in ('weight', 'bias'))
    exact = 2 * (x @ weight.T + bias) @ weight
    np.testing.assert_allclose(found, exact, rtol=1e-12)
    single, params = vj.from_torch(nn.Linear(5, 3).eval())
    with pytest.raises(TypeError, match='got float64, expected float32'):
      single(params, x)


class Fails(nn.Module):
  """A module whose function is given."""

  def __init__(self, function):
    super().__init__()
    self.function = function

  def forward(self, x):
    return self.function(x)


MISTAKES = {
  'class': (lambda: vj.from_torch(nn.Linear), 'got type, expected a torch.nn'),
  'training': (lambda: vj.from_torch(nn.Linear(2, 2)), r'module\.eval\(\)'),
  'part_in_training': (
    lambda: vj.from_torch(part_in_training()),
    r'module\.eval\(\)',
  ),
  'device': (
    lambda: vj.from_torch(nn.Linear(2, 2, device='meta').eval()),
    'weight: got a tensor on meta, expected the CPU',
  ),
  'half': (
    lambda: vj.from_torch(nn.Linear(2, 2).half().eval()),
    r'got float16, expected float32. Call module\.float',
  ),
  'names': (
    lambda: mlp()[0]({'weight': 0.0}, X),
    r"got \['weight'\], expected \['0.bias', '0.weight', '2.bias'",
  ),
  'shape': (
    lambda: mlp()[0](mlp()[1], X[:, :4]),
    r'Sequential of arguments of shapes \[\(7, 4\)\]: mat1 and mat2',
  ),
  'random': (
    lambda: call(lambda x: nn.functional.dropout(x, 0.5, training=True)),
    'without random numbers',
  ),
  'noise': (lambda: call(lambda x: x + torch.randn(5)), 'without random'),
  'no_rule': (
    lambda: vj.from_torch(nn.GRU(5, 2).eval())[0](
      vj.from_torch(nn.GRU(5, 2).eval())[1], X
    ),
    'Batching rule not implemented for aten::gru',
  ),
  'integer': (lambda: call(torch.argmax), 'got int64, expected float32'),
  'no_tensor': (
    lambda: call(lambda x: 'text'),
    'output of torch module Fails: got str, expected float32',
  ),
}


def part_in_training():
  module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).eval()
  module[1].train()
  return module


def call(function):
  apply, params = vj.from_torch(Fails(function).eval())
  return apply(params, X)


@pytest.mark.parametrize('name', MISTAKES)
def test_mistakes_are_one_line(name):
  run, message = MISTAKES[name]
  with pytest.raises((TypeError, ValueError), match=message) as raised:
    run()
  assert '\n' not in str(raised.value)


def test_without_torch_the_error_names_the_extra(monkeypatch):
  monkeypatch.setitem(sys.modules, 'torch', None)
  with pytest.raises(vj.UserError, match=r"torch: .*pip install 'vae_jax\[rec"):
    vj.from_torch(None)


def test_calls_from_threads_keep_their_own_parameters():
  """`functional_call` changes the module while it runs."""
  torch.manual_seed(0)
  module = nn.Sequential(*[nn.Linear(64, 64) for _ in range(6)]).eval()
  apply, params = vj.from_torch(module)
  x = np.ones((64, 64), np.float32)
  scaled = [
    jax.tree.map(lambda leaf, i=i: leaf * (i + 1), params) for i in range(4)
  ]
  expected = [np.asarray(apply(p, x)) for p in scaled]
  wrong = []

  def work(index):
    for _ in range(20):
      if not np.array_equal(apply(scaled[index], x), expected[index]):
        wrong.append(index)

  threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert not wrong
