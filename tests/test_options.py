import dataclasses

import pytest

from vae_jax.errors import UserError
from vae_jax.options import option, validate


@dataclasses.dataclass(frozen=True)
class Options:
  rate: float = option(0.5, 'a rate', 'Group', above=0.0, below=1.0)
  count: int = option(2, 'a count', 'Group', at_least=1, at_most=3)
  name: str = option('a', 'a name', 'Group', choices=('a', 'b'))
  sizes: tuple[int, ...] = option((1,), 'sizes', 'Group', at_least=1)

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
def test_what_is_within_bounds_is_taken(values):
  assert dataclasses.asdict(Options(**values)).items() >= values.items()


@pytest.mark.parametrize(
  ('values', 'message'),
  [
    ({'rate': 0.0}, '--rate=0.0: must be above 0.0'),
    ({'rate': 1.0}, '--rate=1.0: must be below 1.0'),
    ({'rate': float('nan')}, '--rate=nan: must be a finite number'),
    ({'rate': '1'}, '--rate=1: must be of type float'),
    ({'count': 0}, '--count=0: must be at least 1'),
    ({'count': 4}, '--count=4: must be at most 3'),
    ({'count': 1.0}, '--count=1.0: must be of type int'),
    ({'name': 'c'}, '--name=c: must be one of a, b'),
    ({'sizes': (2, 0)}, '--sizes=0: must be at least 1'),
    ({'sizes': [2]}, 'whole numbers'),
  ],
)
def test_what_is_not_is_refused_by_name(values, message):
  with pytest.raises(UserError, match=message):
    Options(**values)
