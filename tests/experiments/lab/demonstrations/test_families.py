import dataclasses
import math

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.lab.demonstrations import families
from experiments.lab.scipy_references import FAMILIES

# A program per parameter of every family.
slow = pytest.mark.slow


@pytest.fixture(scope='module')
def rows(measure):
  return measure(families, 20_000)


@slow
def test_pathwise_gradient_of_every_family(rows, assert_exact):
  for name, family in FAMILIES.items():
    own = [row for row in rows if row.family == name]
    fields = dataclasses.fields(family.make)
    parameters = {x.name for x in fields if not x.metadata.get('static')}
    assert {row.parameter.split('[')[0] for row in own} == parameters
    # 33 comparisons at 5 standard errors: false alarm in 2e-5 of the seeds.
    assert_exact([row.gradient for row in own], 5)
    for row in own:
      # Power: a gradient that is zero, or has the wrong sign, is detected.
      assert abs(row.gradient.exact) > 10 * row.gradient.standard_error, row


def test_bump_of_a_vector():
  z = jnp.array([0.3, -1.2])
  np.testing.assert_allclose(families.bump(z), math.exp(-1.53), rtol=1e-6)


@slow
def test_table_and_figure(rows, assert_draws, tmp_path):
  table = families.table(rows)
  assert all(f'{row.family} {row.parameter} ' in table for row in rows)
  assert_draws(families, rows, tmp_path)
