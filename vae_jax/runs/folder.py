"""The folder of a run: options, metrics, checkpoints, figures and report."""

import contextlib
import dataclasses
import logging
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.errors import UserError
from vae_jax.io import checkpoint, files, lock, logger
from vae_jax.runs import changes, record, versions
from vae_jax.runs.folder_path import create_folder
from vae_jax.runs.record import Record
from vae_jax.training.average import Average, averaged_params
from vae_jax.training.epoch import RunState, is_consistent
from vae_jax.types import Params

CONFIG, METRICS = 'config.json', 'metrics.jsonl'
CHECKPOINTS, BEST = 'checkpoints', 'best'
FIGURES, REPORT = 'figures', 'report.html'
# Sums of former versions, whose runs can be resumed.
_FORMER_LEAVES = ('sums/grad_norm',)
_logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class RunFolder:
  """The folder of one run; knows its files and how to save and restore it.

  Attributes:
    path: the folder.
  """

  path: pathlib.Path

  @classmethod
  def create(cls, path: str | os.PathLike[str]) -> 'RunFolder':
    """Creates the folder if it is missing, as `create_folder` does."""
    return cls(create_folder(path))

  @classmethod
  def find(
    cls, path: str | os.PathLike[str] = '', root: str = 'runs'
  ) -> 'RunFolder':
    """Returns the folder of a run; '' for the newest one in `root`.

    Raises:
      UserError: '' and there is no run in `root`.
    """
    if os.fspath(path):
      return cls(pathlib.Path(path).expanduser())
    found = [each.parent for each in pathlib.Path(root).glob(f'*/{METRICS}')]
    if not found:
      raise UserError(
        f'--workdir: got no folder, and there is no run in '
        f'{pathlib.Path(root).absolute()}. Train a run, or name its --workdir'
      )
    return cls(max(found, key=lambda each: (each / METRICS).stat().st_mtime))

  @property
  def config(self) -> pathlib.Path:
    """Path of config.json."""
    return self.path / CONFIG

  @property
  def checkpoints(self) -> pathlib.Path:
    """Folder of the newest checkpoints."""
    return self.path / CHECKPOINTS

  @property
  def figures(self) -> pathlib.Path:
    """Folder of the figures."""
    return self.path / FIGURES

  @property
  def report(self) -> pathlib.Path:
    """Path of report.html."""
    return self.path / REPORT

  @property
  def log(self) -> logger.MetricsLogger:
    """Logger of metrics.jsonl."""
    return logger.MetricsLogger(self.path / METRICS)

  @contextlib.contextmanager
  def claim(self) -> Iterator[None]:
    """Keeps every other process from writing to the folder, as `lock.claim`.

    Raises:
      UserError: another process writes there; or, also within the block, the
        system refuses a write, and the message names the last good checkpoint.
    """
    try:
      with lock.claim(self.path):
        yield
    except files.WriteError as error:
      raise UserError(
        f'{error.filename}: cannot be written ({error.strerror}); '
        f'{self.last_good()}. Free the disk, or make it writable, and run the '
        'same command again'
      ) from None

  def write_record(self, new: Record, **options: Any) -> None:
    """Writes config.json, as `record.write_record`."""
    record.write_record(self.config, new, **options)

  def read_record(self, *, data_dir: str = '', dataset: str = '') -> Record:
    """Reads config.json; what is given replaces the recorded one unless ''.

    Warns if the file was edited.
    """
    found = record.read_record(self.config, data_dir=data_dir, dataset=dataset)
    if record.is_edited(self.config):
      _logger.warning(
        'warning: %s: was edited after the run wrote it, so the run may not '
        'have been computed with these options',
        self.config,
      )
    return found

  def read_versions(self) -> dict[str, str]:
    """Returns package -> version at the start of the run, '' for unknown."""
    return record.read_versions(self.config)

  def version_warnings(self) -> list[str]:
    """Returns a line for each version that has changed since the start."""
    return versions.warnings(self.read_versions())

  def check_same_run(self, new: Record) -> dict[str, Any]:
    """Returns the changed options, or raises as `changes.changed_options`."""
    stored = record.read_record(self.config)
    return changes.changed_options(self.path, stored, new)

  def has_checkpoint(self) -> bool:
    """Returns whether the run has started."""
    return bool(checkpoint.steps(self.checkpoints))

  def save(
    self, state: RunState, best: RunState | None = None, *, keep: int = 2
  ) -> None:
    """Writes a checkpoint of the state, and of a new best state.

    Args:
      state: present state.
      best: state of the highest validation ELBO; None if it was saved before.
      keep: number of newest checkpoints that stay.

    Raises:
      UserError: the disk refuses; names the last good checkpoint.
    """
    step = int(state.train.step)
    try:
      # A power cut must not remove a line that the checkpoint counts as logged.
      self.log.sync()
      if best is not None:
        folder, best_step = self.checkpoints / BEST, int(best.train.step)
        checkpoint.save(folder, best_step, best, keep=1)
      checkpoint.save(self.checkpoints, step, state, keep=keep)
    except OSError as error:
      raise UserError(
        f'{self.checkpoints}: step {step} cannot be saved ({error.strerror}); '
        f'{self.last_good()}. Free the disk and run the same command to resume'
      ) from None

  def restore(
    self, target: RunState, steps_per_epoch: int, *, new_metrics: bool = False
  ) -> RunState:
    """Restores the newest good state, and removes metrics logged after it.

    Args:
      target: state, or the `jax.ShapeDtypeStruct` of its arrays.
      steps_per_epoch: gradient steps per epoch.
      new_metrics: whether the metrics of a step have changed, with the
        objective. Their sums start at 0, at the start of an epoch.

    Raises:
      CheckpointError: there is no good checkpoint, or its counts are those of
        no run over these data.
      UserError: `new_metrics` within an epoch.
    """
    sums, ignored = target.sums, _FORMER_LEAVES
    if new_metrics:
      zeros = lambda x: jnp.zeros(x.shape, x.dtype)
      sums, ignored = jax.tree.map(zeros, sums), ('sums/',)
      target = target._replace(sums={})
    step, state = checkpoint.restore_latest(
      self.checkpoints, target, ignored=ignored
    )
    # Before any line of the log is removed.
    if step != state.train.step or not is_consistent(state, steps_per_epoch):
      raise checkpoint.CheckpointError(
        f'{self.checkpoints}: got step {int(state.train.step)} in epoch '
        f'{int(state.epoch)} at step {step}, expected epochs of '
        f'{steps_per_epoch} steps. Use the original data, or another --workdir'
      )
    epoch = int(state.epoch)
    # An epoch is logged after its last step, by the call that completes it.
    is_logged = step == epoch * steps_per_epoch
    if new_metrics:
      if not is_logged:
        raise UserError(
          f'{self.path}: got another objective at step {step}, within epoch '
          f'{epoch + 1}, expected a completed epoch. Complete it first, with '
          f'the former objective and --num_epochs={epoch + 1} '
          '--resume_with_changes'
        )
      state = state._replace(sums=sums)
    self.log.rewind(step if is_logged else step - 1)
    print(f'resuming from step {step}', flush=True)
    return state

  def restore_params(
    self,
    target: Params,
    which: str = 'latest',
    *,
    average: Average | None = None,
  ) -> tuple[int, Params]:
    """Restores the parameters of the 'latest' or the 'best' checkpoint.

    Args:
      target: parameters, or the `jax.ShapeDtypeStruct` of their arrays.
      which: 'latest' or 'best'.
      average: arrays of the moving average, which is returned instead; None
        for the parameters themselves.

    Returns:
      (step, parameters).

    Raises:
      CheckpointError: there is no good checkpoint.
      UserError: the folder of checkpoints is a symbolic link or a file.
    """
    files.check_folder(self.checkpoints)
    best = self.checkpoints / BEST
    folder = best if which == 'best' else self.checkpoints
    step, params = checkpoint.restore_latest(
      folder, target, within='train/params'
    )
    if average is not None:
      found = checkpoint.restore(folder, step, average, within='train/ema')
      params = averaged_params(found, params)
    return step, params

  def best_step(self) -> int | None:
    """Returns the step of the best checkpoint; None if there is none."""
    return checkpoint.newest_good(self.checkpoints / BEST)

  def epoch_of(self, step: int, which: str = 'latest') -> int:
    """Returns the number of epochs completed at a restored checkpoint.

    Raises:
      CheckpointError: its counts are those of no run.
    """
    folder = self.checkpoints / (BEST if which == 'best' else '')
    scalar = jax.ShapeDtypeStruct((), jnp.int32)
    found, epoch = (
      int(checkpoint.restore(folder, step, scalar, within=name))
      for name in ('train/step', 'epoch')
    )
    # An epoch has one step or more.
    if found != step or not 0 <= epoch <= step:
      raise checkpoint.CheckpointError(
        f'{folder}: got step {found} in epoch {epoch} at step {step}, expected '
        'the counts of one run. Put its original files back'
      )
    return epoch

  def last_good(self) -> str:
    """Returns in words from which checkpoint the run would resume."""
    try:
      step = checkpoint.newest_good(self.checkpoints)
    except (OSError, UserError):
      step = None
    return (
      f'the last checkpoint is {"none" if step is None else f"step {step}"}'
    )
