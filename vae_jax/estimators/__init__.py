"""Gradients of E_q[f(z)] with respect to the parameters of q and of f."""

from vae_jax.estimators.gradients import (
  GradientStatistics,
  gradient_statistics,
  sample_gradients,
)
from vae_jax.estimators.measure_valued import measure_valued
from vae_jax.estimators.pathwise import pathwise
from vae_jax.estimators.quadratic import pathwise_quadratic
from vae_jax.estimators.scale_gradient import scale_gradient
from vae_jax.estimators.score_function import (
  leave_one_out,
  log_score,
  reinforce,
  score_function,
  score_weight,
)
from vae_jax.estimators.vmap_scalar import evaluate_scalar

__all__ = (
  'GradientStatistics',
  'evaluate_scalar',
  'gradient_statistics',
  'leave_one_out',
  'log_score',
  'measure_valued',
  'pathwise',
  'pathwise_quadratic',
  'reinforce',
  'sample_gradients',
  'scale_gradient',
  'score_function',
  'score_weight',
)
