"""The command `sweep`: a grid of runs, one folder each, then `compare`."""

import pathlib

import jax

from vae_jax.errors import UserError, command
from vae_jax.io import checkpoint
from vae_jax.runs.after.comparing import compare
from vae_jax.runs.config import Config
from vae_jax.runs.config.compare import Cell, CompareConfig, SweepConfig
from vae_jax.runs.folder import BEST, RunFolder
from vae_jax.runs.folder_path import check_folder, create_folder
from vae_jax.runs.record import Record
from vae_jax.runs.restore import report_metrics
from vae_jax.runs.trainer import train

_DEFAULT = 'runs/sweep'


def sweep(options: SweepConfig) -> list[pathlib.Path]:
  """Trains every run of a grid that is not finished, and compares them.

  A run that fails is reported, and the others continue. The same command
  again skips finished runs and resumes the others.

  Args:
    options: the grid, and the options of every run.

  Returns:
    The folders of the finished runs.

  Raises:
    UserError: no grid, several processes, or runs that failed, after all
      others.
    Stopped: a signal asked the program to end; the state is saved.
  """
  first = options.first
  root = pathlib.Path(first.run.workdir or _DEFAULT).expanduser()
  check_folder(root)
  if not options.sweep.grid.strip():
    raise UserError(
      '--grid: got none, expected options and values. Use, for example, '
      '--grid="latent_dim=2,10;learning_rate=1e-3,3e-3"'
    )
  if first.run.distributed:
    raise UserError(
      '--distributed: got it in a sweep, expected one process. Train the runs '
      f'one by one with {command("train")}'
    )
  create_folder(root)
  done, failed = [], []
  for number, cell in enumerate(options.cells, 1):
    print(f'[{number}/{len(options.cells)}] {cell.name}', flush=True)
    folder = root / cell.name
    try:
      if is_finished(folder, cell.config):
        print(f'{folder}: finished before', flush=True)
      else:
        train(cell.config, folder=folder)
      done.append(folder)
    except (UserError, OSError, MemoryError, RuntimeError) as error:
      reason = _reason(error)
      failed.append(cell)
      print(f'{folder}: failed: {reason}', flush=True)
    # The programs of other sizes are not used again.
    jax.clear_caches()
  _compare(root, done, first)
  _report_failed(failed, len(options.cells))
  return done


def _reason(error: BaseException) -> str:
  """Returns the first line of an error; raises one that is a defect."""
  is_full = 'RESOURCE_EXHAUSTED' in str(error)
  if isinstance(error, MemoryError) or is_full:
    return 'out of memory'
  if isinstance(error, RuntimeError):
    raise error
  return ' '.join(str(error).split())


def is_finished(path: pathlib.Path, config: Config) -> bool:
  """Returns whether a folder holds a completed run of these options.

  Args:
    path: folder of the run.
    config: options of the run.

  Raises:
    UserError: a run of other options, or a damaged one.
  """
  folder = RunFolder(path)
  if not folder.has_checkpoint():
    return False
  if folder.check_same_run(Record(config, None)):
    return False  # Such as more epochs, or another K of the report.
  step = checkpoint.newest_good(folder.checkpoints)
  if step is None:
    return False
  epoch = folder.epoch_of(step)
  if config.run.report != 'none' and report_metrics(folder, config) is None:
    return False
  return epoch >= config.optimizer.num_epochs or _stopped_early(
    folder, config, epoch
  )


def _stopped_early(folder: RunFolder, config: Config, epoch: int) -> bool:
  best = checkpoint.newest_good(folder.checkpoints / BEST)
  if not config.optimizer.patience or best is None:
    return False
  return epoch - folder.epoch_of(best, 'best') >= config.optimizer.patience


def _compare(
  root: pathlib.Path, done: list[pathlib.Path], first: Config
) -> None:
  """Compares the finished runs, if there are two or more with a report."""
  if first.run.report == 'none':
    print('No comparison (--report=none): no run has test metrics')
  elif len(done) < 2:
    print(f'No comparison: {len(done)} of the runs is finished')
  else:
    print()
    compare(CompareConfig(workdirs=tuple(map(str, done)), workdir=str(root)))


def _report_failed(failed: list[Cell], count: int) -> None:
  """Raises `UserError` if runs failed; names them."""
  if failed:
    names = ', '.join(cell.name for cell in failed[:5])
    names += ', ...' if failed[5:] else ''
    raise UserError(
      f'--grid: {len(failed)} of {count} runs failed: {names}. The lines above '
      'state why; the same command trains them again'
    )
