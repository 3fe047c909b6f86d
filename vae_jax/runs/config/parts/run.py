"""Options of the folder of a run, its seeds, devices and report."""

import dataclasses

from vae_jax.runs.config import shared
from vae_jax.runs.config.options import option
from vae_jax.runs.config.parts.part import Part


@dataclasses.dataclass(frozen=True)
class RunOptions(Part):
  """The folder of a run, its seed, checkpoints and report."""

  seed: int = option(
    0,
    'seed of every random choice',
    shared.TRAINING,
    at_least=0,
    at_most=2**32 - 1,
  )
  num_seeds: int = option(
    1,
    'number of models, trained in one program with the seeds seed, seed + 1, '
    '...; every number is the mean over them',
    shared.TRAINING,
    at_least=1,
    at_most=shared.MANY,
    unit='seeds',
  )
  workdir: str = option(
    '', 'folder of the run; empty: runs/<dataset>', shared.RUN
  )
  resume_with_changes: bool = option(
    False,
    'resume the run in --workdir with other training options, which '
    'config.json then lists with the step',
    shared.RUN,
  )
  warm_start: str = option(
    '',
    'folder of another run of the same model, whose parameters the new run '
    'starts from; its optimizer state is not taken',
    shared.RUN,
  )
  on_epoch: str = option(
    '',
    'module:function, called after each epoch with a dict of its metrics, '
    'also one in the present folder',
    shared.RUN,
  )
  monitor_gradients: bool = option(
    False,
    'measure the signal-to-noise ratio of the gradient against K in training',
    shared.RUN,
  )
  nll_num_samples: int = option(
    500,
    'importance samples of the final test NLL',
    shared.RUN,
    at_least=1,
    at_most=shared.MOST,
    unit='K',
  )
  checkpoint_seconds: float = option(
    10.0, 'time between checkpoints', shared.RUN, at_least=0.0, unit='seconds'
  )
  keep_checkpoints: int = option(
    2, 'newest checkpoints to keep beside the best', shared.RUN, at_least=1
  )
  report: str = option(
    'full',
    'after training: full measures the test split and draws figures, table '
    'leaves out the figures, none only trains',
    shared.RUN,
    choices=('full', 'table', 'none'),
  )
  platform: str = shared.platform
  compile_cache: str = shared.compile_cache
  num_devices: int = shared.num_devices
  distributed: bool = shared.distributed
  coordinator: str = shared.coordinator
  num_processes: int = shared.num_processes
  process_id: int = shared.process_id
