"""Annealed importance sampling: lower and upper bounds on log p(x)."""

from vae_jax.ais.annealing import AisResult, ais, bidirectional_ais
from vae_jax.ais.sandwich import (
  AisEstimate,
  Sandwich,
  estimate_ais,
  estimate_sandwich,
)
from vae_jax.ais.schedule import linear_schedule, sigmoid_schedule

__all__ = (
  'AisEstimate',
  'AisResult',
  'Sandwich',
  'ais',
  'bidirectional_ais',
  'estimate_ais',
  'estimate_sandwich',
  'linear_schedule',
  'sigmoid_schedule',
)
