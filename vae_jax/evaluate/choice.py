"""Choice of an estimator of the gradient of E_q[f] or of a bound, at one q."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vae_jax import estimators
from vae_jax.distributions import Distribution
from vae_jax.evaluate.chooser import Choice, Surrogate, make_chooser
from vae_jax.objectives import ESTIMATORS, iw_elbo
from vae_jax.types import Array, Key, LogDensity

_EXPECTATIONS: dict[str, Callable[..., Array]] = {
  'pathwise': estimators.pathwise,
  'score_function': estimators.score_function,
  'leave_one_out': functools.partial(
    estimators.score_function, baseline='leave_one_out', num_samples=2
  ),
  'delta': functools.partial(estimators.score_function, baseline='delta'),
  'measure_valued': estimators.measure_valued,
  'enumeration': lambda key, q, f: estimators.enumeration(q, f),
  'disarm': functools.partial(estimators.disarm, num_samples=2),
  'gumbel_softmax': estimators.gumbel_softmax,
  'straight_through': estimators.straight_through,
}
_CONTINUOUS = ('pathwise', 'score_function')
_DISCRETE = ('score_function', 'leave_one_out', 'disarm', 'enumeration')
_BOUNDS = ('pathwise', 'dreg', 'score_function', 'vimco')


def choose_estimator(
  key: Key,
  q: Distribution,
  f: Callable[[Any], Array] | None = None,
  *,
  log_joint: LogDensity | None = None,
  num_samples: int = 1,
  budget: int = 20_000,
  candidates: Sequence[str] | Mapping[str, Surrogate] | None = None,
) -> Choice:
  """Chooses the gradient estimator with the least variance x cost at q.

  The gradient is that of E_q[f(z)], or of the bound of K samples on the
  marginal of a log-joint, in all parameters of q. One estimator is rarely the
  best one everywhere: the pathwise gradient has the variance of f', the score
  function that of f, and what DReG removes is noise near the posterior only.

  Args:
    key: consumed.
    q: any distribution.
    f: maps one event to a scalar; for the estimators of E_q[f].
    log_joint: z -> log p(x, z), `[]`; in place of f, for those of the bound.
    num_samples: K of the bound.
    budget: gradients to draw in all, shared by the candidates.
    candidates: names, or name -> `surrogate(key, q)` whose gradient in q is the
      estimator; the first one must be unbiased, as the reference. For f
      'pathwise', 'score_function', 'leave_one_out', 'delta', 'measure_valued',
      'enumeration', 'disarm', 'gumbel_softmax', 'straight_through'; None for
      those of the first two, or of discrete q the unbiased ones, that q admits.
      For a log-joint names of `iw_elbo`; None for 'pathwise', 'dreg',
      'score_function' and 'vimco' as q and K admit.

  Returns:
    `Choice`; `print` shows its table.

  Raises:
    ValueError: not exactly one of f and log_joint, an unknown name, a budget
      of fewer than 32 gradients per candidate, or no admissible candidate.
    FloatingPointError: a variance that is not finite.

  References:
    Mohamed, Rosca, Figurnov and Mnih 2020, Monte Carlo Gradient Estimation in
    Machine Learning, section 3.2, for variance and cost as criteria; Tucker et
    al. 2019, Doubly Reparameterized Gradient Estimators, section 6.
  """
  if (f is None) == (log_joint is None):
    raise ValueError('choose_estimator: expected either f or log_joint')
  surrogates: Mapping[str, Surrogate]
  if isinstance(candidates, Mapping):
    surrogates = candidates
  elif f is not None:
    default = _DISCRETE if q.is_discrete else _CONTINUOUS
    surrogates = _of_expectation(f, candidates or default)
  else:
    surrogates = _of_bound(log_joint, num_samples, candidates or _BOUNDS)
  biased = [name for name in surrogates if _is_biased(name)]
  choose = make_chooser(surrogates, q, budget=budget, biased=biased)
  return choose(key, q)


def _of_expectation(
  f: Callable[[Any], Array], names: Sequence[str]
) -> dict[str, Surrogate]:
  _check_names(names, _EXPECTATIONS)

  def expectation(name: str, key: Key, q: Distribution) -> Array:
    return _EXPECTATIONS[name](key, q, f)

  return {name: functools.partial(expectation, name) for name in names}


def _of_bound(
  log_joint: LogDensity | None, num_samples: int, names: Sequence[str]
) -> dict[str, Surrogate]:
  _check_names(names, ESTIMATORS)

  def bound(name: str, key: Key, q: Distribution) -> Array:
    assert log_joint is not None
    return iw_elbo(key, q, log_joint, num_samples=num_samples, estimator=name)

  return {name: functools.partial(bound, name) for name in names}


def _check_names(names: Sequence[str], known: Mapping[str, Any]) -> None:
  for name in names:
    if name not in known:
      raise ValueError(
        f'candidates: got {name!r}, expected one of {", ".join(known)}'
      )


def _is_biased(name: str) -> bool:
  return name in ESTIMATORS and ESTIMATORS[name].is_biased
