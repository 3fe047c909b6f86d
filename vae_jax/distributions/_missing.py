"""Errors of distributions without a quantity, with what to use instead."""

from typing import Any


def no_noise(q: Any) -> TypeError:
  """Returns the error of a family without z = g(phi, eps)."""
  if q.is_discrete:
    return TypeError(
      f'{q.name} is discrete: no z = g(phi, eps) is differentiable in its '
      'parameters, so it can be sampled but not reparameterised: use '
      '`vj.score_function`'
    )
  return TypeError(
    f'{q.name} has no z = g(phi, eps) with eps ~ p(eps) independent of its '
    'parameters: `vj.reparameterise` differentiates its draws implicitly'
  )


_INSTEAD = {
  'entropy': "use form='joint', which samples it",
  'mean': 'average draws of `vj.sample`',
  'variance': 'average draws of `vj.sample`',
  'covariance': 'define `covariance`, or `is_independent = True`',
}


def no_closed_form(q: Any, quantity: str) -> TypeError:
  """Returns the error of a family without a closed-form quantity."""
  return TypeError(
    f'{q.name} has no closed-form {quantity}: {_INSTEAD[quantity]}'
  )
