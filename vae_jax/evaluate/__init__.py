"""What a trained model is worth: its bound, likelihood and latents."""

from vae_jax.evaluate.ais import (
  AisResult,
  ais,
  linear_schedule,
  sigmoid_schedule,
)
from vae_jax.evaluate.bits import bits_per_dimension
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
from vae_jax.evaluate.sandwich import (
  AisEstimate,
  Sandwich,
  estimate_ais,
  estimate_sandwich,
)

__all__ = (
  'AisEstimate',
  'AisResult',
  'Gaps',
  'Latents',
  'Nll',
  'NllCurve',
  'Sandwich',
  'ais',
  'bits_per_dimension',
  'curve_points',
  'estimate_ais',
  'estimate_nll',
  'estimate_nll_curve',
  'estimate_sandwich',
  'evaluation_keys',
  'linear_schedule',
  'make_evaluate_elbo',
  'mean_and_standard_error',
  'measure_gaps',
  'measure_latents',
  'sigmoid_schedule',
  'warning',
  'without_units',
)
