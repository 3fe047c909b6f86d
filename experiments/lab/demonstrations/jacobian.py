"""Change of variables: the objective in z equals the objective in eps.

With z = mu + C eps, eps ~ N(0, I), every draw of

log p(z) - log q(z)  and  log p(mu + C eps) + log|det C| - log N(eps; 0, I)

has the same value and gradient: log q(z) contains the log-determinant.
"""

import functools
import math
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.lab.demonstrations.comparison import format_rows
from vae_jax import plots
from vae_jax.distributions import MultivariateNormal, reparameterise
from vae_jax.runs.save_figure import save_figure
from vae_jax.types import Array, Key, LogDensity

SIZES = (3, 4, 5)
_NUM_SHOWN = 40
_LABELS = {True: 'triangular C', False: 'any invertible C'}

# (triangular, log_target, params, key) -> `[]`, one draw
Objective = Callable[[bool, LogDensity, dict[str, Array], Key], Array]


class Row(NamedTuple):
  """Largest difference between the two forms over draws.

  A difference d of numbers of size a is reported as d / max(1, a).

  Attributes:
    scale: kind of C.
    size: dimension of z.
    value: largest difference of the objectives.
    gradient_loc: largest difference of the gradients in mu, over entries.
    gradient_scale: largest difference of the gradients in C, over entries.
    log_det: log|det C|.
    in_z: first draws of the objective in z.
    in_eps: values of the form in eps for the same draws.
  """

  scale: str
  size: int
  value: float
  gradient_loc: float
  gradient_scale: float
  log_det: float
  in_z: tuple[float, ...]
  in_eps: tuple[float, ...]


def log_target(z: Array) -> Array:
  """Returns an unnormalised, non-normal log p(z) with coupled coordinates."""
  return -jnp.sum(jnp.logaddexp(z, -z)) - 0.1 * jnp.sum(jnp.diff(z) ** 2)


def objective_in_z(
  triangular: bool, log_p: LogDensity, params: dict[str, Array], key: Key
) -> Array:
  """Returns log p(z) - log q(z) at one draw, `[]`, with the library's q."""
  q = MultivariateNormal(**params, triangular=triangular)
  z = reparameterise(key, q)
  return log_p(z) - q.log_prob(z)


def objective_in_eps(
  triangular: bool, log_p: LogDensity, params: dict[str, Array], key: Key
) -> Array:
  """Returns the form in eps, `[]`; from q it uses the noise only."""
  loc, scale = params['loc'], params['scale_tril']
  c = jnp.tril(scale) if triangular else scale
  eps = MultivariateNormal(**params, triangular=triangular).noise(key)
  log_noise = -0.5 * jnp.sum(eps**2) - 0.5 * len(loc) * math.log(2 * math.pi)
  return log_p(loc + c @ eps) + jnp.linalg.slogdet(c)[1] - log_noise


def measure(key: Key, num_draws: int) -> tuple[Row, ...]:
  """Measures the difference of the two forms at the same draws.

  Args:
    key: consumed.
    num_draws: draws per row.

  References:
    Kingma and Welling 2014, Auto-Encoding Variational Bayes, section 2.4;
    Titsias and Lazaro-Gredilla 2014, Doubly Stochastic Variational Bayes for
    non-Conjugate Inference, section 2.
  """
  cases = [(triangular, n) for triangular in _LABELS for n in SIZES]
  return tuple(
    _compare(key, triangular, n, num_draws)
    for key, (triangular, n) in zip(
      jax.random.split(key, len(cases)), cases, strict=True
    )
  )


def _params(key: Key, triangular: bool, size: int) -> dict[str, Array]:
  loc, *noise = np.asarray(jax.random.normal(key, (size + 1, size)))
  # Well conditioned, so that solves with C lose no digits.
  scale = 0.3 * np.array(noise)
  if triangular:
    c = np.tril(scale, -1) + np.diag(np.exp(np.diagonal(scale)))
  else:
    c = 2 * np.eye(size, dtype=scale.dtype) + scale
    c[0] *= -1  # Negative determinant.
  return {'loc': jnp.asarray(loc), 'scale_tril': jnp.asarray(c)}


def _compare(key: Key, triangular: bool, size: int, num_draws: int) -> Row:
  params_key, draw_key = jax.random.split(key)
  params = _params(params_key, triangular, size)
  keys = jax.random.split(draw_key, num_draws)

  def draw(objective: Objective, keys: Key) -> tuple[Array, dict[str, Array]]:
    one = functools.partial(objective, triangular, log_target)
    return jax.vmap(jax.value_and_grad(one), (None, 0))(params, keys)

  @jax.jit
  @jax.default_matmul_precision('highest')  # TF32 has three digits.
  def both(keys: Key) -> Any:
    # Cloned keys: common random numbers for both forms.
    in_eps = draw(objective_in_eps, jax.random.clone(keys))
    return draw(objective_in_z, keys), in_eps

  in_z, in_eps = both(keys)
  value, gradients = jax.tree.map(_largest_difference, in_z, in_eps)
  return Row(
    _LABELS[triangular],
    size,
    value,
    gradients['loc'],
    gradients['scale_tril'],
    float(np.linalg.slogdet(np.asarray(params['scale_tril']))[1]),
    tuple(np.asarray(in_z[0])[:_NUM_SHOWN].tolist()),
    tuple(np.asarray(in_eps[0])[:_NUM_SHOWN].tolist()),
  )


def _largest_difference(x: Array, y: Array) -> float:
  a, b = np.asarray(x, np.float64), np.asarray(y, np.float64)
  return float(np.max(np.abs(a - b) / np.maximum(1, np.abs(b))))


def table(rows: Sequence[Row]) -> str:
  """Formats the largest differences."""
  spacing = float(jnp.finfo(jnp.float32).eps)
  return format_rows(
    'log p(z) - log q(z) in z and in eps: largest relative difference over '
    f'draws\n(float32 spacing at 1: {spacing:.2g})',
    ('z = mu + C eps', 'n', 'value', 'gradient in mu', 'gradient in C'),
    [row[:5] for row in rows],
  )


def draw(path: pathlib.Path, rows: Sequence[Row]) -> pathlib.Path:
  """Plots the difference of the forms, with and without log|det C|."""
  points: dict[str, plots.Line] = {}
  for row in (row for row in rows if row.size == max(SIZES)):
    pairs = zip(row.in_eps, row.in_z, strict=True)
    differences = [in_eps - in_z for in_eps, in_z in pairs]
    omitted = [difference - row.log_det for difference in differences]
    points[row.scale] = (row.in_z, differences)
    points[f'{row.scale}, log|det C| omitted'] = (row.in_z, omitted)
  figure = plots.curves(
    f'Form in eps minus form in z, n = {max(SIZES)}',
    ('log p(z) - log q(z), one dot per draw', 'difference'),
    {},
    points=points,
  )
  return save_figure(path, figure)
