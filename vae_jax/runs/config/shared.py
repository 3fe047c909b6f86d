"""Options and bounds shared by several commands."""

from vae_jax.runs.config.options import option

DATA, MODEL, OBJECTIVE = 'Data', 'Model', 'Objective'
TRAINING, RUN, LIKELIHOOD, LAB = 'Training', 'Run', 'Likelihood', 'Lab'

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
num_devices = option(
  1,
  'devices that share each batch and the examples of an evaluation; 0: all',
  RUN,
  at_least=0,
)
seed = option(
  0, 'seed of every random choice', LAB, at_least=0, at_most=2**32 - 1
)
