"""Means of q(z|x), of a Chain one part after the other."""

from typing import Any

import jax

from vae_jax.distributions import Chain, Distribution


def mean_of(q: Distribution) -> Any:
  """Returns E_q[z]; of a Chain each part's mean, given those before it."""
  if not isinstance(q, Chain):
    return q.mean()
  z: dict[str, Any] = {}
  for name in q.order:
    z[name] = q.part(name, z).mean()
  return z


def has_mean(q: Distribution) -> bool:
  """Returns whether `mean_of` is in closed form."""
  if not isinstance(q, Chain):
    return q.has_moments
  try:
    jax.eval_shape(mean_of, q)
  except TypeError:
    return False
  return True
