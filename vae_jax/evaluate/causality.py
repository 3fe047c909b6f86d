"""Check that an autoregressive likelihood does not see what it predicts."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.evaluate import chunks
from vae_jax.evaluate.check import ROUNDING, Check, relative, within
from vae_jax.models import LatentModel
from vae_jax.types import Array, Latent, Params

# Entries of x behind which all others are changed.
_PIXELS = 32


def check_causal(
  model: LatentModel, params: Params, data: Any, z: Latent
) -> list[Check]:
  """Changes later entries of x, in a likelihood that has conditionals."""
  first, own = chunks.take((data, z), 0)
  inference = chunks.condition(model, params, first)
  likelihood: Any = inference.likelihood(own)
  if not hasattr(likelihood, 'conditionals'):
    return []
  x = np.ravel(inference.x)
  values = np.unique(x)

  @jax.jit
  def terms(flat: Array) -> Array:
    return jnp.ravel(likelihood.conditionals(flat.reshape(inference.x.shape)))

  before = np.asarray(terms(x))
  total = np.asarray(likelihood.log_prob(inference.x))
  worst = relative(before.sum(), total)
  for i in np.unique(np.linspace(0, x.size - 1, _PIXELS).astype(int)):
    # Each later entry becomes another value of x: it stays in the support.
    later = np.searchsorted(values, x[i + 1 :]) + 1
    changed = np.concatenate([x[: i + 1], values[later % len(values)]])
    after = np.asarray(terms(changed))
    worst = max(worst, relative(after[: i + 1], before[: i + 1]))
  return [
    within(
      'causal',
      worst,
      ROUNDING,
      'relative change of log p(x_i|x_<i) by entries behind i, in the order of '
      'the scan, and of their sum to log p(x|z). A decoder that sees the '
      'pixels it predicts has no density',
    )
  ]
