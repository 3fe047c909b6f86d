"""Pathwise gradients of every distribution family against exact derivatives.

The exact derivatives are independent of the library: central differences of
E[f], which is computed in float64 by quadrature with scipy distributions.
"""

import functools
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from experiments.lab.demonstrations.comparison import (
  Comparison,
  compare_mean,
  format_rows,
  signed,
)
from experiments.lab.scipy_references import FAMILIES, Family, exact_gradient
from vae_jax import plots
from vae_jax.estimators import pathwise, sample_gradients
from vae_jax.runs.save_figure import save_figure
from vae_jax.types import Array, Key


class Row(NamedTuple):
  """Derivative of E[f] in one entry of one parameter."""

  family: str
  parameter: str
  gradient: Comparison


def bump(z: Array) -> Array:
  """Returns f(z) = exp(-|z|^2); both f(z) and z f'(z) are bounded."""
  return jnp.exp(-jnp.sum(z**2))


def measure(key: Key, num_draws: int) -> tuple[Row, ...]:
  """Measures the pathwise gradient of E[exp(-|z|^2)] in every parameter.

  Args:
    key: consumed.
    num_draws: gradients drawn per family.

  References:
    Kingma and Welling 2014, Auto-Encoding Variational Bayes, section 2.4;
    Figurnov, Mohamed and Mnih 2018, Implicit Reparameterization Gradients,
    eq. (5), for Gamma, Beta and StudentT.
  """
  rows = []
  for family_key, (name, family) in zip(
    jax.random.split(key, len(FAMILIES)), FAMILIES.items(), strict=True
  ):
    params = {k: jnp.asarray(v, float) for k, v in family.params.items()}
    draw = functools.partial(_draw, family, num_draws)
    draws = jax.tree.map(np.asarray, jax.jit(draw)(family_key, params))
    exact = exact_gradient(family)
    for parameter, gradient in exact.items():
      for index in np.ndindex(gradient.shape):
        # Entries above the diagonal of scale_tril are not parameters.
        if len(index) == 2 and index[1] > index[0]:
          continue
        number = compare_mean(
          draws[parameter][:, *index], float(gradient[index])
        )
        place = f'[{",".join(map(str, index))}]' if index else ''
        rows.append(Row(name, f'{parameter}{place}', number))
  return tuple(rows)


def _draw(
  family: Family, num_draws: int, key: Key, params: dict[str, Array]
) -> dict[str, Array]:
  def objective(key: Key, params: dict[str, Array]) -> Array:
    return pathwise(key, family.make(**params), bump)

  return sample_gradients(key, objective, params, num_samples=num_draws)


def table(rows: Sequence[Row]) -> str:
  """Formats exact and measured derivatives with z-scores."""
  cells = []
  for row in rows:
    exact, measured, error = row.gradient
    cells.append(
      (
        f'{row.family} {row.parameter}',
        *(f'{x:.5f}' for x in (exact, measured, error)),
        signed(row.gradient.z),
      )
    )
  return format_rows(
    'Pathwise gradient of E[exp(-|z|^2)] against quadrature in float64',
    ('family and parameter', 'exact', 'measured', '+-', 'z'),
    cells,
  )


def draw(path: pathlib.Path, rows: Sequence[Row]) -> pathlib.Path:
  """Plots the z-scores against normal quantiles."""
  scores = sorted(row.gradient.z for row in rows)
  shares = (np.arange(len(scores)) + 0.5) / len(scores)
  expected = stats.norm.ppf(shares).tolist()
  ends = (float(expected[0]), float(expected[-1]))
  figure = plots.curves(
    f'Pathwise gradients of {len(FAMILIES)} families: normal quantile plot of '
    'z-scores',
    ('normal quantile', 'z-score, (measured - exact) / standard error'),
    {'unbiased': (ends, ends)},
    points={f'{len(scores)} parameters': (expected, scores)},
  )
  return save_figure(path, figure)
