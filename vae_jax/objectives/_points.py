"""Points z at which the ELBO is evaluated, by gradient estimator."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.distributions import (
  Distribution,
  reparameterise_many,
  sample_many,
)
from vae_jax.estimators import (
  all_values,
  antithetic_bits,
  disarm_mean,
  draw_relaxed,
  enumerated_mean,
  gumbel_softmax_values,
  leave_one_out,
  reinforce,
  straight_through_values,
)
from vae_jax.objectives import _draws
from vae_jax.types import Array, ArrayLike, Key, Latent

RELAXED = {
  'gumbel_softmax': gumbel_softmax_values,
  'straight_through': straight_through_values,
}
ESTIMATORS = (
  *('pathwise', 'stl', 'score_function', 'enumeration', 'disarm'),
  *RELAXED,
)


class Points(NamedTuple):
  """Points z, and how values at them estimate an expectation under q.

  Attributes:
    z: points, `[N, *event]`.
    log_q: log q(z), `[N]`; None where the form has an analytic term instead.
    average: (values of f at z, `[N]`) -> an estimate of E_q[f], `[]`.
    factor: zeros, `[N]`, with the gradients of log q(z), of the score function.
    evaluate_at: (f with an auxiliary output) -> its values, `[N]`, and aux;
      None to evaluate f at z.
  """

  z: Latent
  log_q: Array | None = None
  average: Callable[[Array], Array] = jnp.mean
  factor: Array | float = 0.0
  evaluate_at: Callable[[_draws.WithAux], tuple[Array, Any]] | None = None

  def evaluate(self, f: _draws.WithAux) -> tuple[Array, Any]:
    """Returns f at each point: `[N]` values and aux."""
    if self.evaluate_at is not None:
      return self.evaluate_at(f)
    return _draws.evaluate(f, self.z)


def check_estimator(estimator: str, num_samples: int) -> None:
  """Raises `ValueError` for an unknown estimator, or samples of none."""
  if estimator not in ESTIMATORS:
    raise ValueError(f'estimator is {estimator!r}: must be one of {ESTIMATORS}')
  if estimator == 'enumeration' and num_samples != 1:
    raise ValueError(
      f"num_samples is {num_samples}: estimator 'enumeration' draws none, "
      'leave it out'
    )


def check_form(estimator: str, form: str) -> None:
  """Raises `ValueError` for a form that the estimator does not admit."""
  if estimator == 'stl' and form != 'joint':
    raise ValueError(
      f"estimator is 'stl' and form {form!r}: must be 'joint', a closed form "
      'has no log q(z) whose parameters could be stop-gradient'
    )
  if estimator in RELAXED and form != 'kl':
    raise ValueError(
      f"estimator is {estimator!r} and form {form!r}: must be 'kl', a discrete "
      'log q(z) and log p(z) are not defined between the values of z'
    )


def draw(
  key: Key,
  q: Distribution,
  num_samples: int,
  estimator: str,
  form: str,
  temperature: ArrayLike,
) -> Points:
  """Draws points z of an estimator, with log q(z) where the form needs it."""
  if estimator in RELAXED:
    draws = draw_relaxed(
      key, q, num_samples, temperature, f'estimator {estimator!r}'
    )
    values = RELAXED[estimator]
    return Points(draws.hard, evaluate_at=lambda f: values(f, draws))
  if estimator == 'enumeration':
    z = all_values(q)
    log_q = jax.vmap(q.log_prob)(z)
    return Points(z, log_q, lambda values: enumerated_mean(values, log_q))
  if estimator == 'disarm':
    z = antithetic_bits(key, q, num_samples)
    average = lambda values: disarm_mean(q, z, values)
    return Points(z, _stopped_log_prob(q, z, form), average)
  if estimator == 'pathwise' and form == 'joint':
    return Points(*_draws.draw_with_log_prob(key, q, num_samples))
  if estimator != 'pathwise':
    _draws.require_inverse(q, f'estimator {estimator!r}')
  if estimator == 'score_function':
    return _score_function(key, q, num_samples)
  z = reparameterise_many(key, q, num_samples)
  return Points(z, _stopped_log_prob(q, z, form))


def _score_function(key: Key, q: Distribution, num_samples: int) -> Points:
  z = sample_many(key, q, num_samples)
  log_q = jax.vmap(q.for_score().log_prob)(z)
  factor = jnp.exp(log_q - jax.lax.stop_gradient(log_q)) - 1

  def average(values: Array) -> Array:
    baseline = leave_one_out(values) if num_samples > 1 else 0.0
    return jnp.mean(reinforce(values, baseline, factor))

  return Points(z, log_q, average, factor)


def _stopped_log_prob(q: Distribution, z: Latent, form: str) -> Array | None:
  """Returns log q(z), phi stop-gradient, in form 'joint'.

  E_q[grad log q] = 0 where the support does not move: stopping phi here only
  removes variance.
  """
  if form != 'joint':
    return None
  # Here and not before: the other forms do not stop phi.
  return jax.vmap(jax.lax.stop_gradient(q.for_score()).log_prob)(z)
