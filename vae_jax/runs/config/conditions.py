"""Options on conditions that exclude each other."""

from collections.abc import Iterator
from typing import Any

from vae_jax.models.make_conditional import CONDITIONAL_PRIORS


def condition_conflicts(config: Any) -> Iterator[str]:
  """Yields a line for each pair of options that exclude each other."""
  model, condition = config.model, config.data.condition
  if model.condition_prior and condition == 'none':
    yield (
      '--condition_prior with --condition=none: p(z|y) needs a condition; use '
      '--condition=labels, or leave --condition_prior out'
    )
  if model.condition_prior and model.prior not in CONDITIONAL_PRIORS:
    yield (
      f'--condition_prior with --prior={model.prior}: a learned p(z|y) is one '
      f'of --prior={", ".join(CONDITIONAL_PRIORS)}'
    )
