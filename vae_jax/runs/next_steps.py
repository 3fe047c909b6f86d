"""Two lines at the end of a command: what to look at, what to try next."""

import pathlib
import shlex

from vae_jax.errors import command
from vae_jax.runs import commands
from vae_jax.runs.folder import REPORT

# Command that ends -> commands to try, with their arguments, if they exist.
_NEXT = {
  'train': {'sample': '--workdir={}', 'evaluate': '--workdir={}'},
  'evaluate': {'sample': '--workdir={}', 'compare': '{} OTHER_RUN'},
}


def describe(
  name: str, folder: pathlib.Path, place: pathlib.Path | None = None
) -> str:
  """Returns which page to look at and which commands to try next.

  Args:
    name: command that ends.
    folder: folder of the run.
    place: folder of the page; None for that of the run.
  """
  path = shlex.quote(str(folder))
  known = commands.titles()
  calls = [
    f'{command(each)} {_NEXT[name][each].format(path)}'
    for each in _NEXT[name]
    if each in known
  ]
  calls.append(f'vj.load_run({str(folder)!r}) in Python')
  look = shlex.quote(str((place or folder) / REPORT))
  return f'Look at: {look}\nTry next: ' + ', '.join(calls)
