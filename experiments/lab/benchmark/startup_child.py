"""The command `train`, which prints when its parts ended.

The arguments are the time of the command, in seconds since 1970, and flags.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import jax

from experiments import train
from vae_jax.runs import flags, loop
from vae_jax.runs.functions import Recipe

# The first is also that of a program that a cache holds.
_COMPILED = '/jax/core/compile/backend_compile_duration'
_FOUND = '/jax/compilation_cache/cache_hits'


def main() -> None:
  """Trains, and prints seconds, CPU seconds and programs at three times."""
  start = float(sys.argv.pop(1))
  programs, found = [], []
  marks: dict[str, tuple[float, float, int]] = {}

  def compiled(event: str, duration_secs: float, **kwargs: str | int) -> None:
    del kwargs
    if event == _COMPILED:
      programs.append(duration_secs)

  def read(event: str, **kwargs: str | int) -> None:
    del kwargs
    if event == _FOUND:
      found.append(event)

  def mark(name: str) -> None:
    times = os.times()
    seconds = time.time() - start
    count = len(programs) - len(found)
    marks.setdefault(name, (seconds, times.user + times.system, count))

  jax.monitoring.register_event_duration_secs_listener(compiled)
  jax.monitoring.register_event_listener(read)
  train_loop = loop.train_loop

  def timed_loop(recipe: Recipe, *args: Any, **options: Any) -> Any:
    marked = recipe._replace(steps=_then(recipe.steps, lambda: mark('first')))
    state = train_loop(marked, *args, **options)
    mark('trained')
    return state

  loop.train_loop = timed_loop
  flags.run(train.main)
  mark('end')
  print(json.dumps(marks))


def _then(steps: Callable[..., Any], after: Callable[[], None]) -> Any:
  def call(*args: Any) -> Any:
    result = jax.block_until_ready(steps(*args))
    after()
    return result

  return call


if __name__ == '__main__':
  main()
