"""Several processes of one run: start, agreement and loss of a peer.

The processes run the same program on the same options; process 0 alone writes.
"""

import atexit
import contextlib
import ctypes
import dataclasses
import json
import os
import signal
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from vae_jax.errors import UserError, printable
from vae_jax.io import signals

# A coordinator that does not answer, and a peer that is silent: both end the
# run in less than 30 seconds or so.
_START_SECONDS, _HEARTBEAT_SECONDS = 30, 15
# The others wait at the end while process 0 writes the report.
_END_SECONDS = 3600
# Of messages of jax when a peer is lost.
_LOST = ('Gloo', 'NCCL', 'RCCL', 'UNAVAILABLE', 'DEADLINE_EXCEEDED', 'peer')


@dataclasses.dataclass(frozen=True)
class Processes:
  """The processes of one run.

  Attributes:
    index: number of this process.
    count: number of all.
  """

  index: int = 0
  count: int = 1

  @property
  def is_first(self) -> bool:
    """Process 0, which alone writes."""
    return self.index == 0

  def compare(self, options: Mapping[str, Any]) -> None:
    """Compares options with those of the other processes.

    Raises:
      UserError: they differ; names the first such option. Every process raises.
    """
    if self.count == 1:
      return
    text = json.dumps(options, default=str).encode()
    every = [json.loads(each) for each in _gather(text)]
    for i, other in enumerate(every):
      for name, expected in every[0].items():
        if other.get(name) != expected:
          raise UserError(
            f'--{name}: got {other.get(name)} in process {i}, expected '
            f'{expected} as in process 0. Start every process with the same '
            'options'
          )

  def broadcast(self, tree: Any) -> Any:
    """Returns the arrays of process 0, bit by bit.

    Args:
      tree: pytree of arrays, of the same shapes in every process.
    """
    if self.count == 1:
      return tree

    def one(leaf: Any) -> np.ndarray:
      own = np.asarray(leaf)
      # Sums of floats would lose the sign of a zero; those of bytes are exact.
      sent = multihost_utils.broadcast_one_to_all(
        np.frombuffer(own.tobytes(), np.uint8)
      )
      found = np.asarray(sent).astype(np.uint8).tobytes()
      return np.frombuffer(found, own.dtype).reshape(own.shape)

    return jax.tree.map(one, tree)

  def agree(self, number: int) -> int:
    """Returns the number of process 0, or stops all processes at a signal.

    Raises:
      Stopped: a signal asked one of the processes to end.
    """
    if self.count == 1:
      return number
    own = np.array([number, signals.received() or 0], np.int32)
    every = multihost_utils.process_allgather(own)
    if stopped := int(every[:, 1].max()):
      raise signals.Stopped(stopped)
    return int(every[0, 0])


def _gather(text: bytes) -> list[bytes]:
  """Returns the text of every process."""
  sizes = multihost_utils.process_allgather(np.array([len(text)], np.int32))
  padded = np.frombuffer(text.ljust(int(sizes.max())), np.uint8)
  texts = multihost_utils.process_allgather(padded).astype(np.uint8)
  return [
    each[: int(size)].tobytes()
    for each, size in zip(texts, sizes[:, 0], strict=True)
  ]


@contextlib.contextmanager
def joined(
  coordinator: str = '', num_processes: int = 0, process_id: int = -1
) -> Iterator[Processes]:
  """Joins the processes of a run for a block, before jax finds its devices.

  Args:
    coordinator: address and port of process 0; '' if jax detects it, as under
      SLURM, Open MPI, Kubernetes and on a TPU pod.
    num_processes: number of processes; 0 if jax detects it.
    process_id: number of this process; -1 if jax detects it.

  Raises:
    UserError: no cluster is detected, the coordinator does not answer, or,
      within the block, a peer is lost.
  """
  silent = (
    f'--coordinator: got no answer of all processes in {_START_SECONDS} s, '
    f'expected it from {coordinator or "the detected one"}. Start every '
    'process, with one address that all can reach'
  )
  # Where it is not answered, jax aborts the process too.
  with _abort_in_one_line(silent):
    _initialize(coordinator, num_processes, process_id)
  processes = Processes(jax.process_index(), jax.process_count())
  lost = (
    f'process {processes.index} of {processes.count}: lost another process '
    'of the run, expected all to run until its end. See its messages; start '
    'all of them again to resume from the last checkpoint'
  )
  try:
    with _abort_in_one_line(lost), _quiet(processes):
      yield processes
      jax.distributed.shutdown()
  except BaseException as error:
    is_lost = isinstance(error, jax.errors.JaxRuntimeError) and any(
      word in str(error) for word in _LOST
    )
    is_mistake = isinstance(error, UserError)
    # The end of jax would wait for the other processes.
    atexit.register(os._exit, 2 if is_lost or is_mistake else 1)
    if is_lost:
      raise UserError(lost) from None
    if is_mistake and not processes.is_first:
      raise UserError(f'process {processes.index}: {error}') from None
    raise


def _initialize(coordinator: str, num_processes: int, process_id: int) -> None:
  """Starts the service of jax; raises `UserError` if that fails."""
  whole = coordinator and num_processes and process_id >= 0
  try:
    jax.distributed.initialize(
      coordinator or None,
      num_processes or None,
      process_id if process_id >= 0 else None,
      cluster_detection_method='deactivate' if whole else None,
      initialization_timeout=_START_SECONDS,
      heartbeat_timeout_seconds=_HEARTBEAT_SECONDS,
      shutdown_timeout_seconds=_END_SECONDS,
    )
  # jax raises all of these, according to what is missing.
  except (RuntimeError, ValueError, OSError, IndexError, KeyError) as error:
    atexit.register(os._exit, 2)
    reason = printable(' '.join(str(error).split()))[:200]
    raise UserError(
      f'--distributed: got no group of processes ({reason}), expected SLURM, '
      'Open MPI, Kubernetes or a TPU pod. Give --coordinator, '
      '--num_processes and --process_id'
    ) from None


@contextlib.contextmanager
def _quiet(processes: Processes) -> Iterator[None]:
  """Silences the standard output of all processes but the first."""
  if processes.is_first:
    yield
    return
  with open(os.devnull, 'w') as nowhere, contextlib.redirect_stdout(nowhere):
    yield


@contextlib.contextmanager
def _abort_in_one_line(line: str) -> Iterator[None]:
  """Ends an abort of jax, whose service has lost a process, with one line.

  A thread of the service aborts the process, and the callback that jaxlib
  offers instead ends in `std::bad_cast` (0.10 and 0.12). Python would never run
  a handler of its own, as the main thread waits for the lost process.
  """
  text = f'error: {line}\n'.encode()

  @ctypes.CFUNCTYPE(None, ctypes.c_int)
  def end(number: int) -> None:
    del number
    os.write(2, text)
    os._exit(2)

  library = ctypes.CDLL(None)
  library.signal.restype = ctypes.c_void_p
  library.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
  address = ctypes.cast(end, ctypes.c_void_p)
  before = library.signal(signal.SIGABRT, address)
  try:
    yield
  finally:
    library.signal(signal.SIGABRT, before)
