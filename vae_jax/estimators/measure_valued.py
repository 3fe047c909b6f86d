"""The measure-valued, or weak-derivative, gradient estimator.

Examples:
  >>> estimate = lambda logit: vj.measure_valued(
  ...   jax.random.key(0), vj.Bernoulli(logit), lambda z: z
  ... )
  >>> print(f'{jax.grad(estimate)(0.0):.3f}')  # p (1 - p), exact for one bit
  0.250
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.distributions import (
  Bernoulli,
  Distribution,
  Exponential,
  Gamma,
  Laplace,
  LogNormal,
  Normal,
  Rayleigh,
  Weibull,
  check_num_samples,
  first_order_only,
  raise_on_gradient,
  sample,
)
from vae_jax.distributions.domain import within_domain
from vae_jax.estimators.vmap_scalar import evaluate_scalar
from vae_jax.estimators.zero_with_slope import zero_with_slope
from vae_jax.types import Array, Key


class WeakDerivative(NamedTuple):
  """Decomposition d q(z_i) / d phi_i = constant (q+(z_i) - q-(z_i)).

  Attributes:
    constant: c_i, of the event's shape.
    positive: one draw z_i ~ q+, of the event's shape.
    negative: one draw z_i ~ q-, of the event's shape.
  """

  constant: Array
  positive: Array
  negative: Array


# (key, q, coupled) -> the weak derivative by parameter name
Decompose = Callable[[Key, Any, bool], Mapping[str, WeakDerivative]]


def measure_valued(
  key: Key,
  q: Distribution,
  f: Callable[[Array], Array],
  *,
  num_samples: int = 1,
  coupled: bool = True,
) -> Array:
  """Estimates E_q[f(z)], with a gradient from differences of f.

  The value is 1/N sum_n f(z_n), z_n ~ q. The derivative of a density is a
  difference of two densities, dq/dphi = c (q+ - q-), so the derivative of the
  expectation is

  c (E_q+[f(z)] - E_q-[f(z)]).

  Each dimension is replaced in turn, the others as drawn from q: 2 n
  evaluations of f per draw and parameter for n dimensions. f is not
  differentiated in z. Second derivatives in phi raise.

  Args:
    key: consumed.
    q: Normal, LogNormal, Laplace, Exponential, Weibull, Rayleigh, Gamma or
      Bernoulli.
    f: maps one event to a scalar; may be discontinuous.
    num_samples: N, at least 1.
    coupled: draw q+ and q- from common noise; independently otherwise.

  Returns:
    `[]`, the Monte-Carlo estimate, in the units of f.

  Raises:
    TypeError: no decomposition of q is implemented, or a parameter without a
      decomposition is differentiated.
    ValueError: `num_samples` is below 1, or `f` does not return a scalar.

  References:
    Pflug 1989, Sampling derivatives of probabilities; Mohamed et al. 2020,
    Monte Carlo Gradient Estimation in Machine Learning, eq. (30), table 1,
    section 7.2 for the coupling.
  """
  check_num_samples(num_samples)
  decompose = _DECOMPOSITIONS.get(type(q))
  if decompose is None:
    raise TypeError(
      f'{q.name} has no measure-valued gradient: none is implemented'
    )
  q = within_domain(q)
  stopped = jax.lax.stop_gradient(q)
  sample_key, weak_key = jax.random.split(key)
  z = jax.vmap(sample, (0, None))(
    jax.random.split(sample_key, num_samples), stopped
  )
  weak = jax.vmap(lambda key: decompose(key, stopped, coupled))(
    jax.random.split(weak_key, num_samples)
  )
  value = jnp.mean(evaluate_scalar(f, z))
  return value + _attach(q, f, z, weak)


def _attach(
  q: Distribution,
  f: Callable[[Array], Array],
  z: Array,
  weak: Mapping[str, WeakDerivative],
) -> Array:
  """Returns 0 with the estimate as its gradient in the parameters of q."""
  total = jnp.zeros(())
  for field in dataclasses.fields(q):  # type: ignore[arg-type]
    parameter = jnp.asarray(getattr(q, field.name))
    if field.name in weak:
      slopes = jax.vmap(_slopes, (None, 0, 0))(f, z, weak[field.name])
      parameter = first_order_only(
        jnp.broadcast_to(parameter, q.shape),
        'vj.measure_valued',
        '`vj.score_function`, or `vj.pathwise`',
      )
      total += zero_with_slope(jnp.mean(slopes, axis=0), parameter)
    else:
      message = f'{q.name} has no measure-valued gradient in {field.name}'
      total += 0.0 * jnp.sum(raise_on_gradient(parameter, message))
  return total


def _slopes(
  f: Callable[[Array], Array], z: Array, weak: WeakDerivative
) -> Array:
  """Returns c_i (f(z, z_i = z+_i) - f(z, z_i = z-_i)), of the event's shape."""
  flat, each = jnp.ravel(z), jnp.arange(z.size)

  def replaced(values: Array) -> Array:
    put = lambda i: flat.at[i].set(values.ravel()[i]).reshape(z.shape)
    return evaluate_scalar(f, jax.vmap(put)(each))

  plus, minus = replaced(weak.positive), replaced(weak.negative)
  # The difference of two infinities would be nan.
  differences = jnp.where(plus == minus, 0, plus - minus)
  return weak.constant * differences.reshape(z.shape)


def _noise(
  draw: Callable[..., Array], key: Key, q: Any, coupled: bool
) -> tuple[Array, Array]:
  """Draws the noise of q+ and q-; the same noise if coupled."""
  plus_key, minus_key = jax.random.split(key)
  plus = draw(plus_key, q.shape)
  return plus, plus if coupled else draw(minus_key, q.shape)


def _exponentials(
  key: Key, q: Any, coupled: bool
) -> tuple[Array, Array, Array]:
  """Draws E' + E'', a Gamma(2), and E, an Exponential; coupled, E = E'."""
  sum_key, key = jax.random.split(key)
  first, other = _noise(jax.random.exponential, key, q, coupled)
  twice = first + jax.random.exponential(sum_key, q.shape)
  return twice, other, jnp.ones(q.shape)


def _normal(key: Key, q: Any, coupled: bool) -> Mapping[str, WeakDerivative]:
  """Mohamed et al. 2020, table 1: Weibull, and Maxwell against normal."""
  loc, scale = jnp.broadcast_to(q.loc, q.shape), jnp.exp(q.log_scale)
  loc_key, length_key, sign_key, inner_key = jax.random.split(key, 4)
  up, down = (
    jnp.sqrt(2 * e) for e in _noise(jax.random.exponential, loc_key, q, coupled)
  )
  sign = jax.random.rademacher(sign_key, q.shape, up.dtype)
  maxwell = sign * jnp.sqrt(2 * jax.random.gamma(length_key, 1.5, q.shape))
  # A signed Maxwell times an independent Uniform(0, 1) is a normal.
  inner = (
    maxwell * jax.random.uniform(inner_key, q.shape)
    if coupled
    else jax.random.normal(inner_key, q.shape)
  )
  constant = jnp.broadcast_to(1 / (scale * math.sqrt(2 * math.pi)), q.shape)
  return {
    'loc': WeakDerivative(constant, loc + scale * up, loc - scale * down),
    'log_scale': WeakDerivative(
      jnp.ones(q.shape), loc + scale * maxwell, loc + scale * inner
    ),
  }


def _log_normal(
  key: Key, q: Any, coupled: bool
) -> Mapping[str, WeakDerivative]:
  weak = _normal(key, q, coupled)
  return {
    name: WeakDerivative(c, jnp.exp(plus), jnp.exp(minus))
    for name, (c, plus, minus) in weak.items()
  }


def _laplace(key: Key, q: Any, coupled: bool) -> Mapping[str, WeakDerivative]:
  loc, scale = jnp.broadcast_to(q.loc, q.shape), jnp.exp(q.log_scale)
  loc_key, scale_key, sign_key, other_key = jax.random.split(key, 4)
  up, down = _noise(jax.random.exponential, loc_key, q, coupled)
  twice, once, one = _exponentials(scale_key, q, coupled)
  sign = jax.random.rademacher(sign_key, q.shape, up.dtype)
  other = (
    sign if coupled else jax.random.rademacher(other_key, q.shape, up.dtype)
  )
  constant = jnp.broadcast_to(0.5 / scale, q.shape)
  return {
    'loc': WeakDerivative(constant, loc + scale * up, loc - scale * down),
    'log_scale': WeakDerivative(
      one, loc + scale * sign * twice, loc + scale * other * once
    ),
  }


def _exponential(
  key: Key, q: Any, coupled: bool
) -> Mapping[str, WeakDerivative]:
  twice, once, one = _exponentials(key, q, coupled)
  mean = jnp.exp(-jnp.asarray(q.log_rate))
  return {'log_rate': WeakDerivative(one, mean * once, mean * twice)}


def _weibull(key: Key, q: Any, coupled: bool) -> Mapping[str, WeakDerivative]:
  twice, once, one = _exponentials(key, q, coupled)
  k, scale = jnp.asarray(q.concentration), jnp.exp(q.log_scale)
  return {
    'log_scale': WeakDerivative(
      one * k, scale * twice ** (1 / k), scale * once ** (1 / k)
    )
  }


def _rayleigh(key: Key, q: Any, coupled: bool) -> Mapping[str, WeakDerivative]:
  twice, once, one = _exponentials(key, q, coupled)
  scale = jnp.exp(q.log_scale)
  return {
    'log_scale': WeakDerivative(
      2 * one, scale * jnp.sqrt(2 * twice), scale * jnp.sqrt(2 * once)
    )
  }


def _gamma(key: Key, q: Any, coupled: bool) -> Mapping[str, WeakDerivative]:
  key, more_key = jax.random.split(key)
  a = jnp.broadcast_to(jnp.asarray(q.concentration, float), q.shape)
  scale = jnp.exp(-jnp.asarray(q.log_rate))
  draw = lambda key, shape: jax.random.gamma(key, a, shape)
  plus, minus = _noise(draw, key, q, coupled)
  # Gamma(a) + Exponential(1) is Gamma(a + 1).
  minus = minus + jax.random.exponential(more_key, q.shape)
  return {'log_rate': WeakDerivative(a, scale * plus, scale * minus)}


def _bernoulli(key: Key, q: Any, coupled: bool) -> Mapping[str, WeakDerivative]:
  del key, coupled  # q+ and q- are deterministic.
  ones = jnp.ones(q.shape, jnp.result_type(float, q.logits))
  return {'logits': WeakDerivative(q.variance(), ones, 0 * ones)}


_DECOMPOSITIONS: dict[type, Decompose] = {
  Bernoulli: _bernoulli,
  Exponential: _exponential,
  Gamma: _gamma,
  Laplace: _laplace,
  LogNormal: _log_normal,
  Normal: _normal,
  Rayleigh: _rayleigh,
  Weibull: _weibull,
}
