"""Devices and processes that compute a command, as its options choose them."""

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any, NamedTuple

from jax.sharding import Mesh

from vae_jax.errors import UserError
from vae_jax.io import devices, processes, signals
from vae_jax.io.processes import Processes
from vae_jax.runs import new_run
from vae_jax.runs.folder import RunFolder
from vae_jax.training.mesh import make_mesh

# Options that may differ between processes.
_OWN = ('process_id', 'coordinator', 'data_dir')


class Hardware(NamedTuple):
  """Devices and processes of a command.

  Attributes:
    words: platform, kind and number of the devices, for messages.
    mesh: devices over which examples are sharded; None for one device.
    processes: processes to which they belong.
  """

  words: str
  mesh: Mesh | None
  processes: Processes

  def compare(self, options: dict[str, Any]) -> None:
    """Raises `UserError` where the options of another process differ."""
    self.processes.compare({k: x for k, x in options.items() if k not in _OWN})

  @contextlib.contextmanager
  def claim(self, path: str | os.PathLike[str]) -> Iterator[RunFolder]:
    """Claims a folder to train in, as `new_run.claim`.

    Process 0 alone writes there: each other one has an empty folder for a
    while, and takes no checkpoint.
    """
    if self.processes.is_first:
      with new_run.claim(path) as folder:
        yield folder
    else:
      with tempfile.TemporaryDirectory() as name:
        yield _Scratch(pathlib.Path(name))

  def signals(self) -> contextlib.AbstractContextManager[None]:
    """Lets several processes stop together, where `Processes.agree` says so."""
    if self.processes.count == 1:
      return contextlib.nullcontext()
    return signals.deferred()

  def sharing(self) -> dict[str, Any]:
    """Returns the fields of a `TrainedRun` on how its report is computed."""
    return {'mesh': self.mesh, 'writes': self.processes.is_first}


class _Scratch(RunFolder):
  """A folder of a process that keeps nothing."""

  def save(self, *args: Any, **options: Any) -> None:
    """Saves nothing."""


@contextlib.contextmanager
def ready(options: Any) -> Iterator[Hardware]:
  """Chooses the devices of a command, and joins its other processes.

  Args:
    options: has `platform`, `num_devices`, `distributed`, `coordinator`,
      `num_processes` and `process_id`.

  Raises:
    UserError: jax does not find the devices or the processes, or a process is
      lost within the block.
  """
  given = options.coordinator, options.num_processes, options.process_id
  group: contextlib.AbstractContextManager[Processes]
  if options.distributed:
    group = processes.joined(*given)
  elif given != ('', 0, -1):
    raise UserError(
      '--coordinator, --num_processes or --process_id: got one without '
      '--distributed, expected both. Add --distributed'
    )
  else:
    group = contextlib.nullcontext(Processes())
  with group as joined:
    words = devices.select(options.platform)
    chosen = devices.choose(options.platform, options.num_devices)
    first, mesh = chosen[0], None
    if len(chosen) > 1:
      words = f'{len(chosen)} {first.platform} devices ({first.device_kind})'
      mesh = make_mesh(chosen)
    if joined.count > 1:
      words += f' of {joined.count} processes'
    yield Hardware(words, mesh, joined)
