"""Generalised doubly reparameterised gradient (GDReG) of the prior."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.distributions import Distribution, LoggedDraw
from vae_jax.distributions.logged_draw import plain
from vae_jax.estimators import scale_gradient
from vae_jax.objectives import _draws
from vae_jax.types import Array, ArrayLike, Latent

# Inside the support of every noise: of normals, uniforms and exponentials.
_ANY_NOISE = 0.5


def can_reparameterise(prior: Distribution) -> bool:
  """Returns whether z = g(lambda, g^-1(lambda, z)) is there, by tracing."""

  def round_trip(prior: Distribution) -> Latent:
    z = plain(prior.sample(jax.random.key(0)))
    return prior.for_pathwise().transform(prior.inverse(z))

  try:
    jax.eval_shape(round_trip, prior)
  except TypeError:
    return False
  return True


def check_prior(prior: Distribution | None, estimator: str) -> None:
  """Checks that a prior is given where the estimator reads it.

  Raises:
    ValueError: another estimator than 'gdreg' got one.
    TypeError: 'gdreg' got None, or a prior without z = g(lambda, eps) and its
      inverse.
  """
  if estimator != 'gdreg':
    if prior is not None:
      raise ValueError(
        f"prior= is given with estimator {estimator!r}: only 'gdreg' reads it"
      )
    return
  if prior is None:
    raise TypeError(
      "estimator 'gdreg': got no prior=, expected the p(z) whose density "
      'log_joint contains'
    )
  if not can_reparameterise(prior):
    raise TypeError(
      "estimator 'gdreg' differentiates z = g(lambda, eps) of the prior, and "
      f"{prior.name} has no such g with an inverse: use estimator='dreg'"
    )


def reparameterised_weights(
  q: Distribution,
  prior: Distribution,
  log_joint: _draws.WithAux,
  z: Latent,
  weights: Array,
) -> tuple[Array, Any]:
  """Returns log w, `[K]`, with the gradient of GDReG in phi and lambda.

  The score of the prior in sum_k v_k grad log p(z_k), z_k ~ q, is replaced by
  a gradient through the prior's own z = g(lambda, eps_k), eps_k = g^-1(z_k)
  stop-gradient. With h(z) = v(z) q(z) / p(z) at fixed lambda

    E_q[v grad log p] = E_p[h grad log p] = E_p[(dh/dz) (dg/dlambda)]
      = E_q[(v d log(q/p)/dz + dv/dz) (dg/dlambda)],

  and dv_k/dz_k = (v_k - v_k^2) d log w_k / dz_k. In sum, with the lambda of
  each conditional of a hierarchy, the term of sample k is

    (v_k d log p(x|z_k)/dz_k - v_k^2 d log w_k / dz_k) (dg/dlambda).

  The gradient of the bound multiplies that of log w_k by v_k.

  Args:
    q: q(z|x); its parameters phi are stop-gradient inside log q.
    prior: p(z), whose parameters are lambda; a part of `log_joint`.
    log_joint: z -> log p(x, z) and aux.
    z: draws, `[K, *event]`, differentiable in phi, not yet scaled.
    weights: v_k, `[K]`, stop-gradient.

  Returns:
    log w, `[K]`, and aux with a leading axis of K.

  References:
    Bauer and Mnih 2021, Generalized Doubly Reparameterized Gradient
    Estimators.
  """
  stopped = jax.lax.stop_gradient(q.for_score())

  def log_weight(z: Latent, v: Array) -> tuple[Array, Any]:
    path = _through(prior, z)
    z = jax.tree.map(lambda leaf: scale_gradient(leaf, v), z)
    log_p, aux = log_joint(_attach(z, path, 1 - v))
    log_q = stopped.log_prob(_attach(z, path, -v))
    # Also cancels the score of lambda that log_joint contains.
    return log_p - log_q - _log_prior(prior, path), aux

  return jax.vmap(log_weight)(z, weights)


def _through(prior: Distribution, z: Latent) -> Latent:
  """Returns z as g(lambda, eps), differentiable in lambda alone."""
  # A z outside the support has no eps; its weight is 0.
  finite = lambda eps: jnp.where(jnp.isfinite(eps), eps, _ANY_NOISE)
  eps = jax.tree.map(finite, prior.inverse(plain(z)))
  return plain(prior.for_pathwise().transform(jax.lax.stop_gradient(eps)))


def _attach(z: Latent, path: Latent, factor: ArrayLike) -> Latent:
  """Returns z, with `factor` times the gradient through `path` added."""
  is_draw = lambda leaf: isinstance(leaf, LoggedDraw)

  def add(z: Any, path: Array) -> Any:
    zero = scale_gradient(path - jax.lax.stop_gradient(path), factor)
    if is_draw(z):
      return dataclasses.replace(z, value=z.value + zero)
    return z + zero

  return jax.tree.map(add, z, path, is_leaf=is_draw)


def _log_prior(prior: Distribution, path: Latent) -> Array:
  """Returns 0 with the gradient of log p(g(lambda, eps))."""
  log_p = prior.for_score().log_prob(path)
  log_p = jnp.where(jnp.isfinite(log_p), log_p, 0)
  return log_p - jax.lax.stop_gradient(log_p)
