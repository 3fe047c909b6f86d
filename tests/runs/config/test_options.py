import dataclasses

import pytest

from vae_jax.errors import UserError
from vae_jax.runs.config.options import option, validate


@dataclasses.dataclass(frozen=True)
class Options:
  rate: float = option(0.5, 'a rate', 'Group', above=0.0, below=1.0)
  count: int = option(2, 'a count', 'Group', at_least=1, at_most=3)
  name: str = option('a', 'a name', 'Group', choices=('a', 'b'))
  sizes: tuple[int, ...] = option((1,), 'sizes', 'Group', at_least=1)
  kind: str = option(
    'new', 'a kind', 'Group', choices=('new',), aliases={'old': 'new'}
  )

  def __post_init__(self):
    validate(self)


@pytest.mark.parametrize(
  'values',
  [
    {'rate': 0.999},
    {'rate': 1e-30},
    {'count': 1},
    {'count': 3},
    {'name': 'b'},
    {'sizes': (1, 2)},
    {'sizes': ()},
  ],
)
def test_values_within_bounds_are_accepted(values):
  assert dataclasses.asdict(Options(**values)).items() >= values.items()


@pytest.mark.parametrize(
  ('values', 'message'),
  [
    ({'rate': 0.0}, '--rate: got 0.0, expected a number above 0.0'),
    ({'rate': 1.0}, '--rate: got 1.0, expected a number below 1.0'),
    ({'rate': float('nan')}, '--rate: got nan, expected a finite number'),
    ({'rate': '1'}, '--rate: got 1, expected a value of type float'),
    ({'count': 0}, '--count: got 0, expected at least 1'),
    ({'count': 4}, '--count: got 4, expected at most 3'),
    ({'count': 1.0}, '--count: got 1.0, expected a value of type int'),
    ({'name': 'c'}, '--name: got c, expected one of a, b'),
    ({'sizes': (2, 0)}, '--sizes: got 0, expected at least 1'),
    ({'sizes': [2]}, 'whole numbers'),
  ],
)
def test_other_values_are_refused_by_name(values, message):
  with pytest.raises(UserError, match=message):
    Options(**values)


def test_an_alias_becomes_the_new_value():
  assert Options(kind='old').kind == 'new'
  with pytest.raises(UserError, match='--kind: got older, expected one of new'):
    Options(kind='older')
