"""Options and bounds shared by several commands."""

from vae_jax.runs.config.options import option

DATA, MODEL, OBJECTIVE = 'Data', 'Model', 'Objective'
TRAINING, RUN, LIKELIHOOD, LAB = 'Training', 'Run', 'Likelihood', 'Lab'
MACHINES = 'Devices and machines'

# Far above any useful value, and countable in 32 bits.
MANY, MOST = 10**6, 10**9

data_dir = option(
  '',
  'TFDS directory; empty: $TFDS_DATA_DIR or ~/tensorflow_datasets',
  DATA,
)
platform = option(
  'auto',
  'device to run on; every value but auto fails if the device is missing',
  RUN,
  choices=('auto', 'cpu', 'gpu', 'tpu'),
)
trained_workdir = option(
  '', 'folder of the run; empty: the newest one in runs/', RUN
)
checkpoint = option(
  'auto',
  'checkpoint to use; best has the highest validation ELBO; auto is that of '
  'the report: best in a run with --patience, else latest',
  RUN,
  choices=('auto', 'latest', 'best'),
)
parameters = option(
  'auto',
  'raw parameters or their moving average; auto is ema in a run with --ema',
  RUN,
  choices=('auto', 'raw', 'ema'),
)
compile_cache = option(
  '',
  'folder that keeps compiled programs for later commands; empty: none',
  RUN,
)
num_devices = option(
  1,
  'devices, of each process, that share a batch or the examples of an '
  'evaluation; 0: all',
  MACHINES,
  at_least=0,
)
distributed = option(
  False,
  'share the work with other processes, which SLURM, Open MPI, Kubernetes or a '
  'TPU pod has started, or as the next three flags state',
  MACHINES,
)
coordinator = option('', 'address:port of process 0, the same in all', MACHINES)
num_processes = option(
  0, 'number of processes; 0: detected', MACHINES, at_least=0, at_most=MANY
)
process_id = option(
  -1, 'number of this process, from 0; -1: detected', MACHINES, at_least=-1
)
seed = option(
  0, 'seed of every random choice', LAB, at_least=0, at_most=2**32 - 1
)
