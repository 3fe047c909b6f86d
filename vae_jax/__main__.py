"""Commands without launch.sh: `python -m vae_jax train --num_epochs=2`."""

import os
import runpy
import sys

from vae_jax.errors import UserError, printable
from vae_jax.runs import commands

_HELP = ('help', '--help', '-h')


def main() -> None:
  """Runs the command of the first argument; shows the commands without one.

  A user's mistake and a library that is not installed are one line on stderr
  and exit code 2.
  """
  name, *rest = sys.argv[1:] or ['help']
  titles = commands.titles()
  if name in _HELP:
    print(help_text(titles))
  elif name in titles:
    _run(name, rest)
  else:
    _exit(
      f'unknown command {name!r}. python -m vae_jax help lists all commands'
    )


def help_text(titles: dict[str, str]) -> str:
  """Returns the usage and the commands.

  Args:
    titles: description of each command in one line, by name.
  """
  lines = [
    'Usage: python -m vae_jax COMMAND [--flag=value ...]',
    '',
    'Commands',
  ]
  lines += [f'  {name:<20} {title}' for name, title in titles.items()]
  return '\n'.join([*lines, '', 'COMMAND --help shows the flags of a command.'])


def _run(name: str, arguments: list[str]) -> None:
  # In front: the current folder may have an `experiments` of its own.
  sys.path.insert(0, os.fspath(commands.root()))
  # By this name `experiments` knows that it starts a command.
  sys.argv = ['-m', *arguments]
  try:
    runpy.run_module(f'experiments.{name}', run_name='__main__', alter_sys=True)
  except UserError as error:
    _exit(f'error: {error}')


def _exit(line: str) -> None:
  print(printable(line), file=sys.stderr)
  raise SystemExit(2)


if __name__ == '__main__':
  main()
