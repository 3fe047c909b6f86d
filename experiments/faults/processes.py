"""Training in a subprocess that receives SIGKILL or SIGTERM.

Each process is forked from one that has imported jax and not yet started it,
and loads the programs that the reference run compiled. A start thus takes a
second, so that most of the time goes into what is tested.
"""

import contextlib
import multiprocessing
import os
import pathlib
import random
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from typing import IO, NamedTuple

import jax

from vae_jax.errors import UserError
from vae_jax.io import checkpoint, logger
from vae_jax.runs import flags, train
from vae_jax.runs.config import Config
from vae_jax.runs.folder import CHECKPOINTS

_COMPILED = 'compiled'
# Messages of a training run.
_STARTED = 'training examples'
_RESUMED = re.compile(r'resuming from step (\d+)')
_SAVED = re.compile(r'saved at step (\d+)')
# A signal is sent at a random time within this interval after the start.
_MAX_DELAY = 1.5
_TIMEOUT = 300.0
_Process = multiprocessing.context.ForkServerProcess


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
    process.join(_TIMEOUT)
    if process.exitcode != 0:
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
    process.join()
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
    process.terminate()
    process.join(_TIMEOUT)
    seconds = time.monotonic() - sent
    saved = _SAVED.search(_text(output))
  step = int(saved[1]) if saved else None
  return Stopped(process.exitcode == 143 and step == _newest(folder), seconds)


@contextlib.contextmanager
def _started(
  config: Config, folder: pathlib.Path
) -> Iterator[tuple[_Process, IO[bytes]]]:
  """Starts a training process, and kills it at the end of the block."""
  arguments = [
    f'--{name}={_flag(value)}'
    for name, value in config.flat().items()
    if name != 'workdir'
  ]
  context = multiprocessing.get_context('forkserver')
  context.set_forkserver_preload([__name__])
  with tempfile.NamedTemporaryFile() as output:
    argv = ['train', *arguments, f'--workdir={folder}']
    compiled = str(folder.parent / _COMPILED)
    process = context.Process(target=_run, args=(argv, output.name, compiled))
    process.start()
    try:
      yield process, output
    finally:
      process.kill()
      process.join()


def _run(argv: list[str], output: str, compiled: str) -> None:
  """Trains as the command does, in the new process."""
  file = os.open(output, os.O_WRONLY | os.O_APPEND)
  os.dup2(file, 1)
  os.dup2(file, 2)
  jax.config.update('jax_compilation_cache_dir', compiled)
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)
  jax.config.update('jax_persistent_cache_min_entry_size_bytes', -1)
  # Its default lock is a semaphore of the system, which a kill would leave.
  logger.bars().set_lock(threading.RLock())
  sys.argv = argv
  flags.run(_train)


def _train(argv: Sequence[str]) -> None:
  train(flags.parse(Config, argv))


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


def _wait_for(process: _Process, output: IO[bytes], word: str) -> None:
  """Waits until the process has printed a word or has exited."""
  size = 0
  while process.is_alive():
    if os.fstat(output.fileno()).st_size != size:
      size = os.fstat(output.fileno()).st_size
      if word in _text(output):
        return
    time.sleep(0.01)


def _wait_for_write(
  process: _Process,
  folder: pathlib.Path,
  left: set[tuple[str, int]],
  randomness: random.Random,
) -> None:
  """Waits until one of the next five checkpoints is being written."""
  writes = randomness.randint(1, 5)
  while process.is_alive():
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
