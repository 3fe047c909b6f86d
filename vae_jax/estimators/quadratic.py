"""The pathwise gradient with a quadratic control variate, for normals.

Examples:
  >>> estimate = lambda loc: vj.pathwise_quadratic(
  ...   jax.random.key(0), vj.Normal(loc, 0.0), lambda z: z**2
  ... )
  >>> print(f'{jax.grad(estimate)(3.0):.3f}')  # exact for a quadratic f
  6.000
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from vae_jax.distributions import Distribution, Normal, reparameterise_many
from vae_jax.estimators.vmap_scalar import evaluate_scalar
from vae_jax.types import Array, Key


def pathwise_quadratic(
  key: Key,
  q: Distribution,
  f: Callable[[Array], Array],
  *,
  num_samples: int = 1,
) -> Array:
  """Estimates E_q[f(z)] with a quadratic control variate, differentiable.

  With m the mean of q, g and H the gradient and the Hessian of f at m, and
  f2(z) = f(m) + g'(z - m) + (z - m)' H (z - m) / 2,

  1/N sum_n (f(z_n) - f2(z_n)) + E_q[f2], z_n = m + s eps_n,

  E_q[f2] = f(m) + sum_i H_ii s_i^2 / 2. The point of the expansion is
  stop-gradient, so that f2 is one quadratic function of z, and the gradient in
  q is that of `pathwise` minus the pathwise gradient of f2 plus its exact
  expectation: unbiased for every f, and of variance 0 where f is quadratic. It
  may be larger than that of `pathwise` where f is far from quadratic within the
  width of q.

  Costs N Hessian-vector products for the draws and n, one at a time, for the
  diagonal of H (n = event size). The Hessian itself is never stored.

  Args:
    key: consumed; the draws are those of `pathwise` with the same key.
    q: a `Normal`.
    f: maps one event to a scalar, and is twice differentiable.
    num_samples: N, at least 1.

  Returns:
    `[]`, in the units of f. Its derivatives of every order, also in what f
    closes over, are unbiased.

  Raises:
    TypeError: q is not a `Normal`.
    ValueError: `num_samples` is below 1, or `f` does not return a scalar.

  References:
    Miller, Foti, D'Amour and Adams 2017, Reducing Reparameterization Gradient
    Variance, eq. (9) to (13).
  """
  if type(q) is not Normal:
    raise TypeError(
      f'{q.name} has no quadratic control variate, which needs a Normal: use '
      '`vj.pathwise`'
    )
  z = reparameterise_many(key, q, num_samples)
  mean, variance = q.mean(), jnp.ravel(q.variance())
  point = jax.lax.stop_gradient(mean)
  slope, quadratic = _expand(f, point)
  curvature = _diagonal(quadratic, point)
  # f2(z) - E_q[f2] about the stopped point, where m - point is 0 in value.
  constant = quadratic(mean - point) + jnp.vdot(curvature, variance)

  def centred(z: Array) -> Array:
    linear = jnp.vdot(slope, z - mean)
    return linear + 0.5 * (quadratic(z - point) - constant)

  return jnp.mean(evaluate_scalar(f, z) - jax.vmap(centred)(z))


def _expand(
  f: Callable[[Array], Array], point: Array
) -> tuple[Array, Callable[[Array], Array]]:
  """Returns g, and d -> d' H d, of the expansion of f at a point."""
  gradient = jax.grad(f)

  def quadratic(offset: Array) -> Array:
    return jnp.vdot(offset, jax.jvp(gradient, (point,), (offset,))[1])

  return gradient(point), quadratic


def _diagonal(quadratic: Callable[[Array], Array], point: Array) -> Array:
  """Returns H_ii, `[n]`, one at a time."""

  def entry(i: Array) -> Array:
    unit = jax.nn.one_hot(i, point.size, dtype=point.dtype)
    return quadratic(unit.reshape(point.shape))

  return jax.lax.map(entry, jnp.arange(point.size))
