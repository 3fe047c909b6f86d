"""What a trained model is worth: its bound, likelihood and latents."""

from vae_jax.evaluate.bits import bits_per_dimension
from vae_jax.evaluate.chunks import (
  Progress,
  as_float,
  example_size,
  map_chunks,
)
from vae_jax.evaluate.elbo import (
  evaluation_keys,
  make_evaluate_elbo,
  mean_and_standard_error,
)
from vae_jax.evaluate.gaps import Gaps, measure_gaps
from vae_jax.evaluate.latents import (
  Latents,
  measure_latents,
  warning,
  without_units,
)
from vae_jax.evaluate.nll import (
  Nll,
  NllCurve,
  curve_points,
  estimate_nll,
  estimate_nll_curve,
)

__all__ = (
  'Gaps',
  'Latents',
  'Nll',
  'NllCurve',
  'Progress',
  'as_float',
  'bits_per_dimension',
  'curve_points',
  'estimate_nll',
  'estimate_nll_curve',
  'evaluation_keys',
  'example_size',
  'make_evaluate_elbo',
  'map_chunks',
  'mean_and_standard_error',
  'measure_gaps',
  'measure_latents',
  'warning',
  'without_units',
)
