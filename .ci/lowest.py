"""Prints the lowest versions that pyproject.toml declares, as constraints."""

import pathlib
import re
import tomllib


def main() -> None:
  """Prints `name==version` for each `name>=version` that the tests need."""
  path = pathlib.Path(__file__).parents[1] / 'pyproject.toml'
  project = tomllib.loads(path.read_text())['project']
  extras = project['optional-dependencies']
  lines = [*project['dependencies'], *extras['experiments'], *extras['dev']]
  for line in lines:
    if found := re.fullmatch(r'([\w-]+)>=([\w.]+)', line):
      print('=='.join(found.groups()))


if __name__ == '__main__':
  main()
