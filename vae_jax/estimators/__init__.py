"""Gradients of E_q[f(z)] with respect to the parameters of q and of f."""

from vae_jax.estimators.disarm import antithetic_bits, disarm, disarm_mean
from vae_jax.estimators.enumeration import (
  MAX_VALUES,
  all_values,
  enumerated_mean,
  enumeration,
  num_labels,
  too_many_values,
)
from vae_jax.estimators.gradients import (
  GradientStatistics,
  gradient_statistics,
  sample_gradients,
)
from vae_jax.estimators.measure_valued import measure_valued
from vae_jax.estimators.pathwise import pathwise
from vae_jax.estimators.quadratic import pathwise_quadratic
from vae_jax.estimators.relaxation import (
  draw_relaxed,
  gumbel_softmax,
  gumbel_softmax_values,
  straight_through,
  straight_through_values,
)
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
  'MAX_VALUES',
  'GradientStatistics',
  'all_values',
  'antithetic_bits',
  'disarm',
  'disarm_mean',
  'draw_relaxed',
  'enumerated_mean',
  'enumeration',
  'evaluate_scalar',
  'gradient_statistics',
  'gumbel_softmax',
  'gumbel_softmax_values',
  'leave_one_out',
  'log_score',
  'measure_valued',
  'num_labels',
  'pathwise',
  'pathwise_quadratic',
  'reinforce',
  'sample_gradients',
  'scale_gradient',
  'score_function',
  'score_weight',
  'straight_through',
  'straight_through_values',
  'too_many_values',
)
