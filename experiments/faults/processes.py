"""Training in a subprocess that receives SIGKILL or SIGTERM."""

import contextlib
import os
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

from vae_jax.errors import UserError
from vae_jax.io import checkpoint
from vae_jax.runs.config import Config
from vae_jax.runs.folder import CHECKPOINTS

_MAIN = (
  'from vae_jax.runs import Config, flags, train; '
  'flags.run(lambda argv: train(flags.parse(Config, argv)))'
)
# Messages of a training run.
_STARTED = 'training examples'
_RESUMED = re.compile(r'resuming from step (\d+)')
_SAVED = re.compile(r'saved at step (\d+)')
# A signal is sent at a random time within this interval after the start.
_MAX_DELAY = 1.5
_TIMEOUT = 300.0


class Killed(NamedTuple):
  """State of a process when it was killed.

  Attributes:
    during_training: training had started.
    during_write: the kill left an unfinished checkpoint file.
    resumed_from_older: the process had not resumed from the newest checkpoint
      of the previous process.
  """

  during_training: bool
  during_write: bool
  resumed_from_older: bool


class Stopped(NamedTuple):
  """Result of SIGTERM.

  Attributes:
    is_saved: the exit code is 143, and the newest checkpoint has the step that
      the process printed.
    seconds: time between the signal and the exit.
  """

  is_saved: bool
  seconds: float


def finish(config: Config, folder: pathlib.Path) -> None:
  """Trains until the run is complete.

  Raises:
    UserError: the process fails.
  """
  with _started(config, folder) as (process, output):
    if process.wait(_TIMEOUT):
      raise UserError(f'{folder}: {_text(output)[-500:]}')


def kill(
  config: Config,
  folder: pathlib.Path,
  randomness: random.Random,
  *,
  is_aimed: bool,
) -> Killed:
  """Starts or resumes a run, and sends SIGKILL at a random time.

  Args:
    config: options of the run.
    folder: working directory of the run.
    randomness: source of the random time.
    is_aimed: whether to wait until a checkpoint is being written.
  """
  before, left = _newest(folder), _unfinished(folder)
  with _started(config, folder) as (process, output):
    if is_aimed:
      _wait_for_write(process, folder, left, randomness)
    else:
      # Some are killed during start-up, most during training.
      if randomness.random() < 0.7:
        _wait_for(process, output, _STARTED)
      time.sleep(randomness.uniform(0, _MAX_DELAY))
    process.kill()
    process.wait()
    text = _text(output)
  resumed = _RESUMED.search(text)
  from_older = resumed is not None and int(resumed[1]) != before
  during_write = bool(_unfinished(folder) - left)
  return Killed(_STARTED in text, during_write, from_older)


def stop(
  config: Config, folder: pathlib.Path, randomness: random.Random
) -> Stopped:
  """Starts or resumes a run, and sends SIGTERM at a random time in training."""
  with _started(config, folder) as (process, output):
    _wait_for(process, output, _STARTED)
    time.sleep(randomness.uniform(0, _MAX_DELAY))
    sent = time.monotonic()
    process.send_signal(signal.SIGTERM)
    code = process.wait(_TIMEOUT)
    seconds = time.monotonic() - sent
    saved = _SAVED.search(_text(output))
  step = int(saved[1]) if saved else None
  return Stopped(code == 143 and step == _newest(folder), seconds)


@contextlib.contextmanager
def _started(
  config: Config, folder: pathlib.Path
) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
  """Starts a training process, and kills it at the end of the block."""
  flags = [
    f'--{name}={_flag(value)}'
    for name, value in config.flat().items()
    if name != 'workdir'
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
  # The process shares the file offset: a seek would move where it writes.
  size = os.fstat(output.fileno()).st_size
  return os.pread(output.fileno(), size, 0).decode(errors='replace')


def _newest(folder: pathlib.Path) -> int | None:
  found = checkpoint.steps(folder / CHECKPOINTS)
  return found[-1] if found else None


def _wait_for(
  process: subprocess.Popen[bytes], output: IO[bytes], word: str
) -> None:
  """Waits until the process has printed a word or has exited."""
  size = 0
  while process.poll() is None:
    if os.fstat(output.fileno()).st_size != size:
      size = os.fstat(output.fileno()).st_size
      if word in _text(output):
        return
    time.sleep(0.01)


def _wait_for_write(
  process: subprocess.Popen[bytes],
  folder: pathlib.Path,
  left: set[tuple[str, int]],
  randomness: random.Random,
) -> None:
  """Waits until one of the next five checkpoints is being written."""
  writes = randomness.randint(1, 5)
  while process.poll() is None:
    if _unfinished(folder) - left:
      writes -= 1
      if not writes:
        # From the first byte to the removal of the old checkpoints.
        time.sleep(randomness.choice([0.0, 0.0, randomness.uniform(0, 0.02)]))
        return
      time.sleep(0.03)
    time.sleep(0.0002)


def _unfinished(folder: pathlib.Path) -> set[tuple[str, int]]:
  """Returns name and modification time of unfinished checkpoint files."""
  found = set()
  for path in (folder / CHECKPOINTS).rglob('.step_*.tmp'):
    # The write may finish between the listing and the stat.
    with contextlib.suppress(FileNotFoundError):
      found.add((path.name, path.stat().st_mtime_ns))
  return found
