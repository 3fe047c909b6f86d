"""Comparison of Monte Carlo estimates with exact values, in standard errors."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from vae_jax.io import logger

# Relative rounding error of float32 results.
_ROUNDING = 1e-6


class Comparison(NamedTuple):
  """Estimate and exact value.

  Attributes:
    exact: exact value.
    measured: estimate.
    standard_error: standard error of the estimate, from its draws.
  """

  exact: float
  measured: float
  standard_error: float

  @property
  def z(self) -> float:
    """Difference in standard errors (z-score)."""
    # An estimate with zero variance still has rounding errors.
    rounding = _ROUNDING * max(1.0, abs(self.exact))
    return (self.measured - self.exact) / max(self.standard_error, rounding)


def compare_mean(draws: np.ndarray, exact: float) -> Comparison:
  """Compares the mean of independent `[N]` draws with the exact mean.

  The standard error is sqrt(s^2 / N), with s^2 the sample variance.
  """
  values = np.asarray(draws, np.float64)
  error = values.std(ddof=1) / np.sqrt(len(values))
  return Comparison(float(exact), float(values.mean()), float(error))


def compare_variance(draws: np.ndarray, exact: float) -> Comparison:
  """Compares the variance of independent `[N]` draws with the exact variance.

  The standard error is sqrt((m4 - m2^2) / N), with m2 and m4 the second and
  fourth central sample moments.

  References:
    Cramer 1946, Mathematical Methods of Statistics, section 27.4.
  """
  values = np.asarray(draws, np.float64)
  centred = (values - values.mean()) ** 2
  error = centred.std() / np.sqrt(len(values))
  return Comparison(float(exact), float(values.var(ddof=1)), float(error))


Cell = str | float | int


def format_rows(
  title: str, names: Sequence[str], rows: Sequence[Sequence[Cell]]
) -> str:
  """Formats a title, column names and rows as an aligned table."""
  cells = [[_text(cell) for cell in row] for row in (names, *rows)]
  widths = [max(map(len, column)) for column in zip(*cells, strict=True)][1:]
  lines = []
  for first, *others in cells:
    padded = (
      cell.rjust(width) for cell, width in zip(others, widths, strict=True)
    )
    lines.append((first, '  '.join(padded)))
  return logger.format_table(title, lines)


def signed(number: float) -> str:
  """Formats a z-score."""
  return f'{number:+.2f}'


def _text(cell: Cell) -> str:
  return f'{cell:.4g}' if isinstance(cell, float) else str(cell)
