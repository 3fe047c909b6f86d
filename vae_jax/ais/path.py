"""Geometric path of densities from p_0(z) to p(x, z)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from vae_jax.distributions import Distribution
from vae_jax.distributions.logged_draw import LoggedDraw, plain
from vae_jax.distributions.support import REALS, Support
from vae_jax.types import Array, ArrayLike, Latent, LogDensity


class Path(NamedTuple):
  """log f_beta(z) = log f_0(z) + beta log r(z), unnormalised.

  Attributes:
    log_initial: z -> log f_0(z), `[]`.
    log_ratio: z -> log r(z) = log f_1(z) - log f_0(z), `[]`.
  """

  log_initial: LogDensity
  log_ratio: LogDensity


class ValueAndGrad(NamedTuple):
  """Value and gradient of a function of z at one z."""

  value: Array
  gradient: Array


class ChainState(NamedTuple):
  """Position of a chain, with both terms of the path there.

  The terms serve every beta, so they are carried: a transition of L leapfrog
  steps costs L gradients, and a weight increment costs none.
  """

  z: Array
  initial: ValueAndGrad
  ratio: ValueAndGrad


def make_path(
  initial: Distribution, log_joint: LogDensity, log_ratio: LogDensity | None
) -> Path:
  """Returns the path from p_0 to p(x, z).

  Args:
    initial: p_0.
    log_joint: z -> log p(x, z).
    log_ratio: z -> log p(x, z) - log p_0(z); None for the difference.

  Raises:
    TypeError: z is discrete, or p_0 has no inverse.
  """
  check_continuous(initial)
  if not initial.has_inverse:
    raise TypeError(
      f'initial: {initial.name} has no inverse, so log p_0(z) is unknown along '
      "the chains. Use another distribution, such as the model's prior."
    )
  if log_ratio is None:
    log_ratio = lambda z: log_joint(z) - initial.log_prob(z)
  return Path(initial.log_prob, log_ratio)


def check_continuous(q: Distribution) -> None:
  """Raises `TypeError` if a latent of q is discrete."""
  draw = jax.eval_shape(q.sample, jax.random.key(0))
  # A foreign family may be discrete and only show it in the dtype of its draws.
  floating = all(
    jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves(draw)
  )
  if q.is_discrete or not floating:
    raise TypeError(
      f'{q.name} is discrete: Hamiltonian Monte Carlo moves z along the '
      'gradient of log p(x, z), so z must be continuous'
    )


def flatten_events(
  q: Distribution, path: Path
) -> tuple[Callable[[Latent], Array], Path]:
  """Returns a map of one z of q to one array, and the path over such arrays.

  A dict of latents is raveled to a vector; an array of real numbers stays as it
  is. Positive numbers become their logarithms and numbers in (0, 1) their
  logits, with the log-determinant of the change in log f_0: a chain would be
  rejected at every step out of the support.
  """
  draw = jax.eval_shape(q.sample, jax.random.key(0))
  support = q.support
  if support and support.to_reals and support is not REALS:
    return support.to_reals, _over_reals(path, support, draw)
  event = jax.eval_shape(plain, draw)
  if isinstance(event, jax.ShapeDtypeStruct):
    return plain, path
  zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), event)
  unravel = ravel_pytree(zeros)[1]

  def over_vectors(f: LogDensity) -> LogDensity:
    return lambda z: f(unravel(z))

  ravel: Callable[[Any], Array] = lambda z: ravel_pytree(plain(z))[0]
  return ravel, Path(*map(over_vectors, path))


def _over_reals(path: Path, support: Support, draw: Any) -> Path:
  """Returns the path over y = to_reals(z); `draw` is the type of a draw z."""
  from_reals: Any = support.from_reals
  log_det: Any = support.log_det
  # A family that draws plain arrays may take nothing else.
  logged = isinstance(draw, LoggedDraw)
  place = lambda y: from_reals(y) if logged else plain(from_reals(y))
  return Path(
    log_initial=lambda y: path.log_initial(place(y)) + log_det(y),
    log_ratio=lambda y: path.log_ratio(place(y)),
  )


def make_state(path: Path, z: Array) -> ChainState:
  """Evaluates both terms of the path at z."""
  initial, ratio = (ValueAndGrad(*jax.value_and_grad(f)(z)) for f in path)
  return ChainState(z, initial, ratio)


def annealed_log_density(state: ChainState, beta: ArrayLike) -> ValueAndGrad:
  """Returns log f_beta and its gradient at the position of a chain."""
  return jax.tree.map(lambda a, b: a + beta * b, state.initial, state.ratio)
