"""Examples of the elementwise continuous families, and their draws."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

import vae_jax.distributions as vd

_LOC = [0.0, 1.0, -3.0, 0.5]
_LOG_SCALE = [0.0, -2.3, 1.6, 0.3]

# Events of four dimensions, some of them without mean or variance.
FAMILIES = {
  family.__name__: family(*map(jnp.array, parameters))
  for family, *parameters in [
    (vd.Normal, _LOC, _LOG_SCALE),
    (vd.Laplace, _LOC, _LOG_SCALE),
    (vd.Logistic, _LOC, _LOG_SCALE),
    (vd.Cauchy, _LOC, _LOG_SCALE),
    (vd.Gumbel, _LOC, _LOG_SCALE),
    (vd.StudentT, [5.0, 2.5, 1.5, 0.9], _LOC, _LOG_SCALE),
    (vd.Exponential, _LOG_SCALE),
    (vd.Weibull, [0.8, 1.5, 3.0, 1.0], _LOG_SCALE),
    (vd.Rayleigh, _LOG_SCALE),
    (vd.Pareto, [4.0, 2.5, 1.5, 0.9], _LOG_SCALE),
    (vd.LogNormal, _LOC, [0.0, -2.3, -0.5, 0.3]),
    (vd.Uniform, [-1.0, 0.0, 0.2, -3.0], [1.0, 0.5, 7.0, 4.0]),
    (vd.RelaxedBernoulli, [0.7, 1.0, 2.0, 1.5], [-1.5, 0.0, 0.8, 1.0]),
    (vd.ContinuousBernoulli, [0.0, -3.0, 0.05, 6.0]),
    (vd.Gamma, [0.5, 1.0, 2.5, 8.0], _LOG_SCALE),
    (vd.Beta, [0.8, 2.0, 3.5, 1.0], [1.5, 2.5, 1.0, 4.0]),
  ]
}

# Their draws are below 1e38 but round to an end of the support.
EXTREMES = {
  family.__name__: family(*map(jnp.array, parameters))
  for family, *parameters in [
    (vd.Weibull, [0.1, 0.1, 1.0, 1e3], [-30.0, 30.0, -30.0, 30.0]),
    (vd.Rayleigh, [-30.0, 0.0, 10.0, 30.0]),
    (vd.Pareto, [0.4, 0.4, 1.0, 1e3], [-30.0, 30.0, -30.0, 30.0]),
    (vd.LogNormal, [-30.0, 0.0, 0.0, 30.0], [0.0, -30.0, 0.0, 0.0]),
    (vd.Uniform, [-1e6, -1e6, -1e-6, 0.0], [1e-6, 1e6, 1e6, 1.0]),
    (vd.RelaxedBernoulli, [0.1, 0.1, 1.0, 10.0], [-90.0, 90.0, -90.0, 90.0]),
    (vd.ContinuousBernoulli, [-1e4, -90.0, 90.0, 1e4]),
    (vd.Gamma, [0.05, 0.05, 1.0, 1e3], [-30.0, 30.0, -30.0, 30.0]),
    (vd.Beta, [0.05, 0.05, 1e3, 1.0], [0.05, 1e3, 0.05, 1.0]),
  ]
}

# Differentiated implicitly, without noise or transform. Last in `FAMILIES`, so
# that parametrisation keeps the tests of a family together.
IMPLICIT = ('Gamma', 'Beta')
REPARAMETERISED = [name for name in FAMILIES if name not in IMPLICIT]


def nodes(exact, count=20_001):
  """Returns `[count, *event]` points that cover all but 1e-7 of the mass.

  Their spacing shrinks geometrically towards an end of the support and grows
  geometrically into a tail.
  """
  low, high = exact.support()
  width = exact.ppf(0.75) - exact.ppf(0.25)
  t = np.linspace(-1.0, 1.0, count)[:, None]
  line = exact.median() + width * np.sinh(20 * t)
  if np.isinf(low).all():
    return line
  if np.isinf(high).all():
    return low + width * np.exp(32 * t - 5)
  return low + (high - low) * special.expit(30 * t)


def expectation(exact, f):
  """Returns E[f(z)] per dimension, by quadrature in float64."""
  z = nodes(exact)
  # Far into the tails exp overflows, and f may be infinite or nan.
  with np.errstate(all='ignore'):
    mass = np.diff(exact.cdf(z), axis=0)
    values = f(z)
    terms = 0.5 * mass * (values[1:] + values[:-1])
  return np.sum(np.where(mass > 1e-100, terms, 0.0), axis=0)


def directional(value, parameters, directions, step=1e-4):
  """Returns the derivative of `value(parameters)`, by central difference."""
  move = lambda h: value(
    [x + h * d for x, d in zip(parameters, directions, strict=True)]
  )
  return (move(step) - move(-step)) / (2 * step)


class Noise(NamedTuple):
  """Noise of a family and its transforms, each `[N, *event]`."""

  eps: np.ndarray
  transformed: np.ndarray
  inverse: np.ndarray
  mirrored: np.ndarray
  mirrored_twice: np.ndarray


class Simulation(NamedTuple):
  """Draws, densities and gradients; leaves have a leading axis `[N]`.

  Attributes:
    draws: draws by `reparameterise`.
    slopes: gradient of the sum over the event of arctan(draw), like q.
    log_probs: log-densities of the draws.
    log_prob_slopes: gradient of log_probs through draw and density, like q.
    noise: None where the family has none.
  """

  draws: np.ndarray
  slopes: Any
  log_probs: np.ndarray
  log_prob_slopes: Any
  noise: Noise | None


@jax.jit
@functools.partial(jax.vmap, in_axes=(None, 0, 0))
def _simulate(q, draw_key, noise_key):
  z, pull = jax.vjp(lambda q: vd.reparameterise(draw_key, q), q)
  density = jax.value_and_grad(lambda q, z: q.log_prob(z), (0, 1))
  log_prob, (direct, slope) = density(q, z)
  arctan = jax.grad(lambda z: jnp.sum(jnp.arctan(z)))(z)
  # One pullback for both: the gradient of a Gamma draw is slow to compile.
  both = jax.tree.map(lambda *x: jnp.stack(x), arctan, slope)
  pulled = jax.vmap(pull)(both)[0]
  return Simulation(
    draws=jnp.asarray(z),
    slopes=jax.tree.map(lambda x: x[0], pulled),
    log_probs=log_prob,
    log_prob_slopes=jax.tree.map(lambda x, y: x + y[1], direct, pulled),
    noise=None if type(q).__name__ in IMPLICIT else _noise(q, noise_key),
  )


def _noise(q, key):
  eps = q.noise(key)
  mirrored = q.mirror(eps)
  return Noise(
    eps=eps,
    transformed=jnp.asarray(q.transform(eps)),
    inverse=q.inverse(q.transform(eps)),
    mirrored=jnp.asarray(q.transform(mirrored)),
    mirrored_twice=q.transform(q.mirror(mirrored)),
  )


def simulate(q, key, num_samples=20_000):
  """Returns the `Simulation` of q, compiled once per family."""
  keys = jax.random.split(key, (2, num_samples))
  return jax.tree.map(np.asarray, _simulate(q, *keys))
