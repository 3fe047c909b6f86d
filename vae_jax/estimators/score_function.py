"""The score-function (REINFORCE) gradient estimator and its baselines.

Examples:
  >>> estimate = lambda loc: vj.score_function(
  ...   *(jax.random.key(0), vj.Normal(loc, 0.0), lambda z: z**2),
  ...   baseline='delta',
  ... )
  >>> print(f'{jax.grad(estimate)(3.0):.3f}')  # exact for a quadratic f
  6.000
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from vae_jax.distributions import Distribution, sample_many
from vae_jax.distributions._numerics import matmul
from vae_jax.distributions.base import Event
from vae_jax.distributions.domain import at_most
from vae_jax.estimators.vmap_scalar import evaluate_scalar
from vae_jax.types import Array, ArrayLike, Key

Function = Callable[[Event], Array]

BASELINES = ('leave_one_out', 'delta')


def score_function(
  key: Key,
  q: Distribution,
  f: Function,
  *,
  num_samples: int = 1,
  baseline: ArrayLike | str | None = None,
  antithetic: bool = False,
) -> Array:
  """Estimates E_q[f(z)]; its gradient does not differentiate f in z.

  The value is 1/N sum_n f(z_n), z_n ~ q. The gradient in the parameters of q
  is

  1/N sum_n (f(z_n) - b_n) grad log q(z_n) + grad E_q[b],

  The gradient in the variables that f closes over is 1/N sum_n grad f(z_n).
  The baselines b:

  * None: 0;
  * a number, which must not depend on these draws; the last term is 0;
  * 'leave_one_out': the mean of f over the other N - 1 draws. Including the
    draw itself would bias the gradient;
  * 'delta': b(z) is the second-order Taylor expansion of a differentiable f
    about E[z], with its expectation in closed form.

  Args:
    key: consumed.
    q: any distribution with `has_inverse`, discrete or continuous.
    f: maps one event to a scalar; may be discontinuous.
    num_samples: N, at least 1; at least 2 for 'leave_one_out'.
    baseline: b, as listed above.
    antithetic: draw pairs of mirrored noise; requires an even N.

  Returns:
    `[]`, the Monte-Carlo estimate, in the units of f.

  Raises:
    ValueError: invalid `num_samples` or `baseline`, or `f` does not return a
      scalar.
    TypeError: a parameter that moves the support is differentiated; q has no
      log-density at given points; 'delta' for a q without mean and covariance
      in closed form, without a fourth moment (nan for traced parameters), or
      over a dict of latents; no antithetic noise.

  References:
    Williams 1992, Simple Statistical Gradient-Following Algorithms, theorem 1;
    Mohamed et al. 2020, Monte Carlo Gradient Estimation in Machine Learning,
    eq. (13), (14), section 7.4; Kool, van Hoof and Welling 2019, Buy 4
    REINFORCE Samples, eq. (6), for the leave-one-out baseline; Foerster et al.
    2018, DiCE, eq. (5), for the surrogate.
  """
  _check(num_samples, baseline, antithetic)
  z = sample_many(key, q, num_samples, antithetic=antithetic)
  values = evaluate_scalar(f, z)
  weight = score_weight(q, z)
  b, mean_b = _baseline(baseline, q, f, z, values)
  estimate = jnp.mean(reinforce(values, b, weight - 1))
  return estimate + mean_b - jax.lax.stop_gradient(mean_b)


def score_weight(q: Distribution, z: Event) -> Array:
  """Returns ones, `[N]`, with the gradients of log q(z_n) (DiCE).

  Args:
    q: the distribution.
    z: draws, `[N, *event]`.
  """
  return jnp.exp(log_score(q, z))


def log_score(q: Distribution, z: Event) -> Array:
  """Returns zeros, `[N]`, with the gradients of log q(z_n)."""
  log_q = jax.vmap(q.for_score().log_prob)(jax.lax.stop_gradient(z))
  return log_q - jax.lax.stop_gradient(log_q)


def reinforce(values: Array, baseline: ArrayLike, factor: ArrayLike) -> Array:
  """Returns values, `[N]`, with the gradient of the score function.

  An infinite value, such as the log-density of an impossible draw, has no
  gradient: the expectation is infinite.

  Args:
    values: f(z_n), `[N]`.
    baseline: b, `[]` or `[N]`, stop-gradient.
    factor: zeros, `[N]`, with the gradients of log q(z_n).
  """
  signal = values - jax.lax.stop_gradient(baseline)
  return values + jnp.where(jnp.isinf(values), 0, signal) * factor


def leave_one_out(values: Array) -> Array:
  """Returns the mean of the other N - 1 values for each of `[N]`.

  Infinite values count as 0: the others keep a finite baseline.

  Examples:
    >>> print(leave_one_out(jnp.array([1.0, 2.0, 6.0])))
    [4.  3.5 1.5]
  """
  finite = jnp.where(jnp.isinf(values), 0, values)
  return (jnp.sum(finite) - finite) / (len(values) - 1)


def _check(
  num_samples: int, baseline: ArrayLike | str | None, antithetic: bool
) -> None:
  if not isinstance(baseline, str):
    return
  if baseline not in BASELINES:
    raise ValueError(
      f'baseline is {baseline!r}: must be None, a number, or one of '
      f'{", ".join(BASELINES)}'
    )
  if baseline == 'leave_one_out':
    if num_samples == 1:
      raise ValueError(
        "num_samples is 1: baseline 'leave_one_out' needs at least 2"
      )
    if antithetic:
      raise ValueError(
        "antithetic=True with baseline 'leave_one_out': the two draws of a "
        'pair are dependent, which biases the baseline'
      )


def _baseline(
  baseline: ArrayLike | str | None,
  q: Distribution,
  f: Function,
  z: Event,
  values: Array,
) -> tuple[Array, Array]:
  """Returns b per draw, gradients stopped, and E_q[b], differentiable."""
  zero = jnp.zeros((), values.dtype)
  if not isinstance(baseline, str):
    number = zero if baseline is None else jnp.asarray(baseline, values.dtype)
    return jax.lax.stop_gradient(number), zero
  if baseline == 'leave_one_out':
    return jax.lax.stop_gradient(leave_one_out(values)), zero
  b, mean_b = _taylor(q, f)
  return jax.lax.stop_gradient(jax.vmap(b)(z)), mean_b


def _taylor(q: Distribution, f: Function) -> tuple[Function, Array]:
  """Expands f to second order about E[z]; returns b and E_q[b].

  The variance of b(z) grad log q(z) needs the fourth moment of z.
  """
  if not isinstance(q.shape, tuple):
    raise TypeError(
      f"baseline 'delta': got a {q.name} over a dict of latents, expected one "
      "array. Use 'leave_one_out'"
    )
  heavy, known = at_most(q.moment_order, 4)
  if known:
    raise TypeError(
      f"baseline 'delta': E[z^4] of {q.name} does not exist for these "
      "parameters, which its variance needs. Use 'leave_one_out'"
    )
  shape, mean = q.shape, jnp.ravel(q.mean())
  centre = jax.lax.stop_gradient(mean)
  flat = lambda z: f(z.reshape(shape))
  value, slope, curvature = jax.lax.stop_gradient(
    (flat(centre), jax.grad(flat)(centre), jax.hessian(flat)(centre))
  )

  def expand(step: Array) -> Array:
    return value + jnp.sum(slope * step + 0.5 * step * matmul(curvature, step))

  mean_b = expand(mean - centre) + 0.5 * jnp.sum(curvature * q.covariance())
  # As a factor of both, the nan reaches every gradient.
  exists = jnp.where(jnp.any(heavy), jnp.nan, 1)
  b = lambda z: expand(jnp.ravel(z) - centre) * exists
  return b, mean_b * exists
