"""The path of densities from p_0(z) to p(x, z)."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.distributions import Distribution
from vae_jax.model import VAE
from vae_jax.types import Array, ArrayLike, LogDensity, Params

# (params, x) -> p_0
Initial = Callable[[Params, Array], Distribution]


class Path(NamedTuple):
  """f_beta(z), unnormalised: log f_beta(z) = log f_0(z) + beta log r(z).

  Attributes:
    log_initial: z -> log f_0(z), `[]`.
    log_ratio: z -> log r(z) = log f_1(z) - log f_0(z), `[]`.
  """

  log_initial: LogDensity
  log_ratio: LogDensity


class Term(NamedTuple):
  """A function of z and its gradient, at one z."""

  value: Array
  gradient: Array


class Point(NamedTuple):
  """Where a chain stands, `z`, and the path's two terms there.

  They are carried, for they serve every beta: a transition of L leapfrog
  steps costs L gradients, and a weight costs nothing more.
  """

  z: Array
  initial: Term
  ratio: Term


def make_path(
  vae: VAE, params: Params, x: Array, initial: Initial | None
) -> tuple[Distribution, Path]:
  """Returns p_0 and the path from it to p(x, z).

  Raises:
    TypeError: z is discrete.
  """
  prior = vae.prior(params)
  _check_continuous(prior)
  log_likelihood = lambda z: vae.decode(params, z).log_prob(x)
  if initial is None:
    return prior, Path(prior.log_prob, log_likelihood)
  q = initial(params, x)
  _check_continuous(q)
  ratio = lambda z: log_likelihood(z) + prior.log_prob(z) - q.log_prob(z)
  return q, Path(q.log_prob, ratio)


def _check_continuous(q: Distribution) -> None:
  draw = jax.eval_shape(q.sample, jax.random.key(0))
  # Our discrete families draw floats, for networks to take.
  if q.pathwise_parameters == () or not jnp.issubdtype(
    draw.dtype, jnp.floating
  ):
    raise TypeError(
      f'{q.name} is discrete: Hamiltonian Monte Carlo moves z along the '
      'gradient of log p(x, z), so that z must be continuous'
    )


def make_point(path: Path, z: Array) -> Point:
  """Evaluates both terms of the path at z."""
  initial, ratio = (Term(*jax.value_and_grad(f)(z)) for f in path)
  return Point(z, initial, ratio)


def tempered(point: Point, beta: ArrayLike) -> Term:
  """Returns log f_beta and its gradient."""
  return jax.tree.map(lambda a, b: a + beta * b, point.initial, point.ratio)
