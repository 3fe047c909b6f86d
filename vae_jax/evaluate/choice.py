"""Choice of a gradient estimator by variance x cost, measured on the spot."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax import estimators
from vae_jax.distributions import Distribution
from vae_jax.evaluate.statistics import Estimate, estimate_mean
from vae_jax.objectives import ESTIMATORS, iw_elbo
from vae_jax.training.gradient_noise import Moments, gradient_moments
from vae_jax.types import Array, Key, LogDensity, Params

# A surrogate: its gradient in the parameters is one draw of the estimator.
Surrogate = Callable[[Key, Any], Array]

# Variances of so many independent groups of draws give the standard error.
_GROUPS = 16
# p-value of the bias below which an estimator is not chosen.
_BIASED = 1e-6

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


class Score(NamedTuple):
  """Measured quality of one gradient estimator.

  Attributes:
    bias: norm of its mean less that of the reference.
    bias_z: root mean square, over coordinates, of this difference in standard
      errors: about 1 without bias.
    variance: `Estimate` of the variance of one gradient, summed over
      coordinates.
    cost: floating-point operations of one gradient, as XLA counts them.
    variance_times_cost: `Estimate`; the variance at equal cost.
    probability: probability that it is the best one, given the errors.
    is_biased: whether it is left out of the choice.
  """

  bias: float
  bias_z: float
  variance: Estimate
  cost: float
  variance_times_cost: Estimate
  probability: float
  is_biased: bool


class Choice(NamedTuple):
  """The best estimator, and the table from which it was chosen.

  Attributes:
    best: name of the estimator with the least variance x cost.
    table: name -> `Score`, in the order of the candidates.
    refused: name -> reason, of candidates that q does not admit.
  """

  best: str
  table: dict[str, Score]
  refused: dict[str, str]

  @property
  def probability_wrong(self) -> float:
    """Probability that another estimator is the best one."""
    return 1 - self.table[self.best].probability

  def __str__(self) -> str:
    head = (
      f'{"":16s}  bias z   variance          cost  variance x cost  P(best)'
    )
    lines = [head]
    for name, s in self.table.items():
      lines.append(
        f'{name:16s} {s.bias_z:7.2f} {s.variance.mean:10.4g} {s.cost:13.4g} '
        f'{s.variance_times_cost.mean:9.3g} +- '
        f'{s.variance_times_cost.standard_error:<8.2g} {s.probability:.3f}'
        + (' biased' if s.is_biased else '')
        + (' <- best' if name == self.best else '')
      )
    return '\n'.join(lines)


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
  if isinstance(candidates, Mapping):
    surrogates = dict(candidates)
  elif f is not None:
    default = _DISCRETE if q.is_discrete else _CONTINUOUS
    surrogates = _of_expectation(
      f, default if candidates is None else candidates
    )
  else:
    surrogates = _of_bound(
      log_joint, num_samples, _BOUNDS if candidates is None else candidates
    )
  biased = [name for name in surrogates if _is_biased(name)]
  choose = make_chooser(surrogates, q, budget=budget, biased=biased)
  return choose(key, q)


def make_chooser(
  surrogates: Mapping[str, Surrogate],
  params: Params,
  *,
  budget: int,
  biased: Sequence[str] = (),
) -> Callable[[Key, Params], Choice]:
  """Makes the choice among surrogates of one gradient, in any parameters.

  Args:
    surrogates: name -> `surrogate(key, params)`, `[]`, whose gradient in params
      is one draw; the first that is admissible is the reference of the bias.
    params: pytree of floats, for their shapes.
    budget: gradients to draw in all.
    biased: names that are known to be biased, which are not chosen.

  Returns:
    `choose(key, params) -> Choice`; all calls share the compiled programs.

  Raises:
    ValueError, FloatingPointError: as `choose_estimator`.
  """
  admitted, refused = _admissible(surrogates, params)
  if not admitted:
    reasons = '; '.join(f'{n}: {reason}' for n, reason in refused.items())
    raise ValueError(f'candidates: none is admissible. {reasons}')
  draws = budget // ((len(admitted) + 1) * _GROUPS)
  if draws < 2:
    raise ValueError(
      f'budget is {budget}: must be at least '
      f'{2 * _GROUPS * (len(admitted) + 1)}, 32 gradients for each of '
      f'{len(admitted)} candidates and the reference'
    )
  costs = {n: _count_operations(s, params) for n, s in admitted.items()}
  measure = {n: _make_measure(s, draws) for n, s in admitted.items()}

  def choose(key: Key, params: Params) -> Choice:
    reference_key, *keys = jax.random.split(key, len(measure) + 1)
    reference = next(iter(measure.values()))(reference_key, params)
    measured = {
      name: own(own_key, params)
      for own_key, (name, own) in zip(keys, measure.items(), strict=True)
    }
    return _rank(measured, reference, costs, biased, refused)

  return choose


def _of_expectation(
  f: Callable[[Any], Array], names: Sequence[str]
) -> dict[str, Surrogate]:
  _check_names(names, _EXPECTATIONS)
  return {
    name: lambda key, q, e=_EXPECTATIONS[name]: e(key, q, f) for name in names
  }


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


def _admissible(
  surrogates: Mapping[str, Surrogate], params: Params
) -> tuple[dict[str, Surrogate], dict[str, str]]:
  """Returns what can be differentiated, and the reasons against the rest."""
  admitted, refused = {}, {}
  for name, surrogate in surrogates.items():
    try:
      jax.eval_shape(jax.grad(surrogate, 1), jax.random.key(0), params)
      admitted[name] = surrogate
    except (TypeError, ValueError) as error:
      refused[name] = str(error).splitlines()[0]
  return admitted, refused


def _make_measure(
  surrogate: Surrogate, draws: int
) -> Callable[[Key, Params], Moments]:
  """Makes mean and variance of each group of draws, `[G, P]` in float64."""

  def loss(key: Key, params: Params, batch: Any) -> tuple[Array, Any]:
    return surrogate(key, params), batch

  @jax.jit
  def groups(keys: Array, params: Params) -> Any:
    def group(key: Key) -> tuple[Array, ...]:
      found = gradient_moments(key, loss, params, jnp.zeros(()), draws)
      return tuple(map(_vector, found[:2]))

    return jax.lax.map(group, keys)

  def measure(key: Key, params: Params) -> Moments:
    mean, variance = groups(jax.random.split(key, _GROUPS), params)
    as_float = lambda x: np.asarray(x, np.float64)
    return Moments(as_float(mean), as_float(variance), draws)

  return measure


def _vector(tree: Any) -> Array:
  return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def _count_operations(surrogate: Surrogate, params: Params) -> float:
  lowered = jax.jit(jax.grad(surrogate, 1)).lower(jax.random.key(0), params)
  analysis = lowered.compile().cost_analysis() or {}
  # At least one: an estimator that XLA folds to a constant is not free.
  return max(1.0, float(analysis.get('flops', 1.0)))


def _rank(
  measured: Mapping[str, Moments],
  reference: Moments,
  costs: Mapping[str, float],
  biased: Sequence[str],
  refused: dict[str, str],
) -> Choice:
  biases = {name: _bias(m, reference) for name, m in measured.items()}
  totals = {name: m.variance.sum(axis=1) for name, m in measured.items()}
  for name, total in totals.items():
    if not np.all(np.isfinite(total)):
      raise FloatingPointError(
        f'{name}: the variance of its gradient is not finite'
      )
  is_biased = {
    name: name in biased or (i > 0 and biases[name][2] < _BIASED)
    for i, name in enumerate(measured)
  }
  fair = [name for name in measured if not is_biased[name]]
  products = {n: estimate_mean(totals[n] * costs[n]) for n in measured}
  probabilities = _probabilities({name: products[name] for name in fair})
  table = {
    name: Score(
      *biases[name][:2],
      estimate_mean(totals[name]),
      costs[name],
      products[name],
      probabilities.get(name, 0.0),
      is_biased[name],
    )
    for name in measured
  }
  # Of equal products, such as two of no variance, the cheapest.
  best = min(fair, key=lambda name: (products[name].mean, costs[name]))
  return Choice(best, table, refused)


def _bias(m: Moments, reference: Moments) -> tuple[float, float, float]:
  """Returns the norm of the bias, its z, and its p-value."""
  from scipy import stats  # Slow to import.

  difference = m.mean.mean(axis=0) - reference.mean.mean(axis=0)
  error = sum(x.variance.mean(axis=0) for x in (m, reference)) / (
    m.num_draws * _GROUPS
  )
  noisy = error > 0
  square = difference[noisy] ** 2 / error[noisy]
  if not noisy.any():
    return float(np.linalg.norm(difference)), 0.0, 1.0
  p_value = stats.chi2.sf(square.sum(), noisy.sum())
  z = math.sqrt(square.mean())
  return float(np.linalg.norm(difference)), z, float(p_value)


def _probabilities(products: Mapping[str, Estimate]) -> dict[str, float]:
  """Returns P(best) of each, for normal errors of the logarithms."""
  tiny = np.finfo(np.float64).tiny
  mean = np.array([max(p.mean, tiny) for p in products.values()])
  error = np.array([p.standard_error for p in products.values()]) / mean
  # Student's t: the errors are estimated from few groups.
  noise = np.random.default_rng(0).standard_t(_GROUPS - 1, (20_000, len(mean)))
  best = np.argmin(np.log(mean) + error * noise, axis=1)
  shares = np.bincount(best, minlength=len(mean)) / len(best)
  return dict(zip(products, map(float, shares), strict=True))
