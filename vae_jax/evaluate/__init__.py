"""Evaluation of a trained model: ELBO, NLL, inference gaps, latents."""

from vae_jax.evaluate.bits import bits_per_dimension
from vae_jax.evaluate.calibration import Calibration, calibration
from vae_jax.evaluate.check import Check
from vae_jax.evaluate.check_model import check_model
from vae_jax.evaluate.choice import choose_estimator
from vae_jax.evaluate.chooser import Choice, make_chooser
from vae_jax.evaluate.chunks import (
  Progress,
  condition,
  count_examples,
  describe_model,
  example_size,
  map_chunks,
  take,
)
from vae_jax.evaluate.classification import (
  Classification,
  make_evaluate_classification,
)
from vae_jax.evaluate.elbo import make_evaluate_bound, make_evaluate_elbo
from vae_jax.evaluate.gaps import Gaps, measure_gaps
from vae_jax.evaluate.impute import Imputation, impute
from vae_jax.evaluate.keys import evaluation_keys
from vae_jax.evaluate.latents import Latents, measure_latents, warning
from vae_jax.evaluate.nll import (
  Nll,
  NllCurve,
  curve_points,
  estimate_nll,
  estimate_nll_curve,
  make_nll_curve,
)
from vae_jax.evaluate.pareto import (
  Weights,
  measure_weights,
  pareto_smooth,
)
from vae_jax.evaluate.reduced_model import without_units
from vae_jax.evaluate.statistics import Estimate, estimate_mean

__all__ = (
  'Calibration',
  'Check',
  'Choice',
  'Classification',
  'Estimate',
  'Gaps',
  'Imputation',
  'Latents',
  'Nll',
  'NllCurve',
  'Progress',
  'Weights',
  'bits_per_dimension',
  'calibration',
  'check_model',
  'choose_estimator',
  'condition',
  'count_examples',
  'curve_points',
  'describe_model',
  'estimate_mean',
  'estimate_nll',
  'estimate_nll_curve',
  'evaluation_keys',
  'example_size',
  'impute',
  'make_chooser',
  'make_evaluate_bound',
  'make_evaluate_classification',
  'make_evaluate_elbo',
  'make_nll_curve',
  'map_chunks',
  'measure_gaps',
  'measure_latents',
  'measure_weights',
  'pareto_smooth',
  'take',
  'warning',
  'without_units',
)
