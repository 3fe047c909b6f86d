"""Training in a process of its own, that is killed or asked to stop."""

import contextlib
import dataclasses
import pathlib
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import IO, NamedTuple

from vae_jax import checkpoint, workdir
from vae_jax.config import Config
from vae_jax.errors import UserError

_MAIN = (
  'from vae_jax import flags, loop; from vae_jax.config import Config; '
  'flags.run(lambda argv: loop.train(flags.parse(Config, argv)))'
)
_BEGINS = 'training examples'
# From the first step on, for moments that are drawn at random.
_SECONDS_OF_TRAINING = 1.5
_PATIENCE = 300.0


class Killed(NamedTuple):
  """What a kill found and left.

  Attributes:
    had_begun: the process had come as far as training.
    within_write: a checkpoint was half written.
    went_back: the run had begun from an older checkpoint than the newest one
      that the process before it left.
  """

  had_begun: bool
  within_write: bool
  went_back: bool


class Stopped(NamedTuple):
  """How a process ended that was asked to.

  Attributes:
    is_saved: it said so, exited with 143, and its newest checkpoint is the
      step that it named.
    seconds: between the signal and the end.
  """

  is_saved: bool
  seconds: float


def finish(config: Config, folder: pathlib.Path) -> None:
  """Trains until the run is done.

  Raises:
    UserError: it fails.
  """
  with _started(config, folder) as (process, output):
    if process.wait(_PATIENCE):
      raise UserError(f'{folder}: {_text(output)[-500:]}')


def kill(
  config: Config,
  folder: pathlib.Path,
  randomness: random.Random,
  *,
  is_aimed: bool,
) -> Killed:
  """Goes on with a run, and kills it with SIGKILL at a random moment.

  Args:
    config: of the run.
    folder: its workdir.
    randomness: of the moment.
    is_aimed: wait for a checkpoint that is being written.
  """
  before, left = _newest(folder), _halves(folder)
  with _started(config, folder) as (process, output):
    if is_aimed:
      _wait_for_write(process, folder, left, randomness)
    else:
      # Some die while they start, some while they train.
      if randomness.random() < 0.7:
        _wait_for(process, output, _BEGINS)
      time.sleep(randomness.uniform(0, _SECONDS_OF_TRAINING))
    process.kill()
    process.wait()
    text = _text(output)
  resumed = re.search(r'going on from step (\d+)', text)
  went_back = resumed is not None and int(resumed[1]) != before
  is_half = bool(_halves(folder) - left)
  return Killed(_BEGINS in text, is_half, went_back)


def stop(
  config: Config, folder: pathlib.Path, randomness: random.Random
) -> Stopped:
  """Goes on with a run, and sends it SIGTERM at a random moment of it."""
  with _started(config, folder) as (process, output):
    _wait_for(process, output, _BEGINS)
    time.sleep(randomness.uniform(0, _SECONDS_OF_TRAINING))
    sent = time.monotonic()
    process.send_signal(signal.SIGTERM)
    code = process.wait(_PATIENCE)
    seconds = time.monotonic() - sent
    saved = re.search(r'saved at step (\d+)', _text(output))
  step = int(saved[1]) if saved else None
  return Stopped(code == 143 and step == _newest(folder), seconds)


@contextlib.contextmanager
def _started(
  config: Config, folder: pathlib.Path
) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
  """Starts a process that trains; nothing of it is left after the block."""
  flags = [
    f'--{field.name}={_flag(getattr(config, field.name))}'
    for field in dataclasses.fields(config)
    if field.name != 'workdir'
  ]
  root = str(pathlib.Path(__file__).parents[2])
  code = f'import sys; sys.path.insert(0, {root!r}); {_MAIN}'
  command = [sys.executable, '-P', '-c', code, *flags, f'--workdir={folder}']
  with (
    tempfile.TemporaryFile() as output,
    subprocess.Popen(
      command, stdout=output, stderr=output, stdin=subprocess.DEVNULL
    ) as process,
  ):
    try:
      yield process, output
    finally:
      process.kill()


def _flag(value: object) -> str:
  if isinstance(value, tuple):
    return ','.join(map(str, value))
  return str(value)


def _text(output: IO[bytes]) -> str:
  output.seek(0)
  return output.read().decode(errors='replace')


def _newest(folder: pathlib.Path) -> int | None:
  found = checkpoint.steps(folder / workdir.CHECKPOINTS)
  return found[-1] if found else None


def _wait_for(
  process: subprocess.Popen[bytes], output: IO[bytes], word: str
) -> None:
  """Returns once the process has printed a word, or has ended."""
  size = 0
  while process.poll() is None:
    # The process writes at its own place in the file.
    if output.seek(0, 2) != size:
      size = output.tell()
      if word in _text(output):
        return
    time.sleep(0.01)


def _wait_for_write(
  process: subprocess.Popen[bytes],
  folder: pathlib.Path,
  left: set[tuple[str, int]],
  randomness: random.Random,
) -> None:
  """Returns while one of the next checkpoints is half written."""
  writes = randomness.randint(1, 5)
  while process.poll() is None:
    if _halves(folder) - left:
      writes -= 1
      if not writes:
        # Anywhere from the first byte to the old ones that are removed.
        time.sleep(randomness.choice([0.0, 0.0, randomness.uniform(0, 0.02)]))
        return
      time.sleep(0.03)
    time.sleep(0.0002)


def _halves(folder: pathlib.Path) -> set[tuple[str, int]]:
  """Returns the unfinished files of checkpoints, by name and time."""
  found = set()
  for path in (folder / workdir.CHECKPOINTS).rglob('.step_*.tmp'):
    # It may be finished before it is looked at.
    with contextlib.suppress(FileNotFoundError):
      found.add((path.name, path.stat().st_mtime_ns))
  return found
