"""What the options of several commands share."""

from vae_jax.options import option

DATA, MODEL, OBJECTIVE = 'Data', 'Model', 'Objective'
TRAINING, RUN, LIKELIHOOD, LAB = 'Training', 'Run', 'Likelihood', 'Lab'

# Far beyond what is of use, and within what 32 bits count.
MANY, MOST = 10**6, 10**9

data_dir = option(
  '',
  'TFDS directory; empty: $TFDS_DATA_DIR or ~/tensorflow_datasets',
  DATA,
)
platform = option(
  'auto',
  'device to run on; anything but auto fails rather than falls back',
  RUN,
  choices=('auto', 'cpu', 'gpu', 'tpu'),
)
seed = option(0, 'of every random choice', LAB, at_least=0, at_most=2**32 - 1)
