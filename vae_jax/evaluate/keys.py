"""Fixed random keys of the evaluation."""

from typing import NamedTuple

import jax

from vae_jax.types import Key


class EvaluationKeys(NamedTuple):
  """One key per purpose, equal in every run, so that runs are comparable."""

  binarise: Key
  elbo: Key
  nll: Key
  figures: Key
  gradients: Key
  latents: Key
  gaps: Key
  sandwich: Key
  calibration: Key
  check: Key


# One program instead of three.
@jax.jit
def evaluation_keys() -> EvaluationKeys:
  """Returns the keys of every evaluation, independent of the run's seed."""
  count = len(EvaluationKeys._fields)
  return EvaluationKeys(*jax.random.split(jax.random.key(20131220), count))
