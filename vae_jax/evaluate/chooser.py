"""Choice among gradient surrogates by their measured variance x cost."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.evaluate.statistics import Estimate, estimate_mean
from vae_jax.training.gradient_noise import Moments, gradient_moments
from vae_jax.types import Array, Key, Params

# A surrogate: its gradient in the parameters is one draw of the estimator.
Surrogate = Callable[[Key, Any], Array]

# Variances of so many independent groups of draws give the standard error.
_GROUPS = 16
# p-value of the bias below which an estimator is not chosen.
_BIASED = 1e-6


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


def make_chooser(
  surrogates: Mapping[str, Surrogate],
  params: Params,
  *,
  budget: int,
  biased: Sequence[str] = (),
  trusted: bool = False,
) -> Callable[[Key, Params], Choice]:
  """Makes the choice among surrogates of one gradient, in any parameters.

  Args:
    surrogates: name -> `surrogate(key, params)`, `[]`, whose gradient in params
      is one draw; the first that is admissible is the reference of the bias.
    params: pytree of floats, for their shapes.
    budget: gradients to draw in all.
    biased: names that are known to be biased, which are not chosen.
    trusted: whether the others are known to be unbiased, so that none is left
      out by a test of its mean.

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
    return _rank(measured, reference, costs, biased, refused, trusted)

  return choose


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
  trusted: bool,
) -> Choice:
  biases = {name: _bias(m, reference) for name, m in measured.items()}
  totals = {name: m.variance.sum(axis=1) for name, m in measured.items()}
  for name, total in totals.items():
    if not np.all(np.isfinite(total)):
      raise FloatingPointError(
        f'{name}: the variance of its gradient is not finite'
      )
  is_biased = {
    name: name in biased
    or (i > 0 and not trusted and biases[name][2] < _BIASED)
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
