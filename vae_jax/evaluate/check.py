"""Result of one check of a model."""

from typing import NamedTuple

import numpy as np

# Relative: float32 sums of hundreds of terms in another order.
ROUNDING = 1e-4


class Check(NamedTuple):
  """One check of a model.

  Attributes:
    name: name of the check.
    passed: whether `value` is within `tolerance`; None where the check cannot
      be decided for this model, and `words` say why.
    value: the number that is measured.
    tolerance: largest number that passes.
    words: the check, and what a failure means, in a sentence.
  """

  name: str
  passed: bool | None
  value: float
  tolerance: float
  words: str

  def __str__(self) -> str:
    result = {True: 'passed', False: 'FAILED', None: 'undecided'}[self.passed]
    return (
      f'{self.name:16s} {result:9s} {self.value:.3g} (at most '
      f'{self.tolerance:.3g}): {self.words}'
    )


def within(name: str, value: float, tolerance: float, words: str) -> Check:
  """Returns the check whose value must be at most the tolerance."""
  return Check(name, bool(value <= tolerance), value, tolerance, words)


def relative(found: np.ndarray, expected: np.ndarray) -> float:
  """Returns the largest |difference| / (1 + |expected|); equal infinities 0."""
  with np.errstate(invalid='ignore'):
    difference = np.abs(found - expected) / (1 + np.abs(expected))
  same = (found == expected) | (np.isnan(found) & np.isnan(expected))
  difference = np.where(same, 0.0, difference)
  return float(np.where(np.isnan(difference), np.inf, difference).max())
