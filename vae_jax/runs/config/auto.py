"""The estimator 'auto': those among which a run chooses by measuring them."""

import dataclasses
import types
from collections.abc import Callable, Iterator
from typing import Any

from vae_jax.objectives import ESTIMATORS, OBJECTIVES
from vae_jax.runs.config.latent_pair import learns_prior

AUTO = 'auto'
# It has a term of its own, and combines two of the others already.
_LEFT_OUT = ('adaptive',)

Conflicts = Callable[[Any], Iterator[str]]


def is_auto(config: Any) -> bool:
  """Returns whether the run chooses its estimator."""
  return bool(config.objective.estimator == AUTO)


def with_estimator(config: Any, name: str) -> Any:
  """Returns the parts of a config with another estimator."""
  objective = dataclasses.replace(config.objective, estimator=name)
  parts = ('data', 'model', 'optimizer', 'run')
  given = {part: getattr(config, part) for part in parts}
  return types.SimpleNamespace(**given, objective=objective)


def candidates_of(config: Any, conflicts: Conflicts) -> tuple[str, ...]:
  """Returns the unbiased estimators that the other options admit.

  Args:
    config: config whose estimator is 'auto'.
    conflicts: yields what is wrong with a config.
  """
  found = []
  for name in OBJECTIVES[config.objective.objective].estimators:
    row = ESTIMATORS[name]
    # The exact sum over z has no variance, at any cost.
    if row.is_biased or row.enumerates or name in _LEFT_OUT:
      continue
    # Without learned parameters of p(z) it is another name of dreg.
    if row.reparameterises_prior and not learns_prior(config.model):
      continue
    if not any(conflicts(with_estimator(config, name))):
      found.append(name)
  return tuple(found)


def auto_conflicts(config: Any, conflicts: Conflicts) -> Iterator[str]:
  """Yields what is wrong with a config whose estimator is 'auto'."""
  given, run = f'--estimator={AUTO}', config.run
  names = candidates_of(config, conflicts)
  objective = config.objective.objective
  if not names:
    default = OBJECTIVES[objective].estimators[0]
    yield from conflicts(with_estimator(config, default))
  elif len(names) == 1:
    yield (
      f'{given} with --objective={objective} --posterior='
      f'{config.model.posterior}: there is one candidate, without adaptive, '
      f'enumeration and the biased ones; use --estimator={names[0]}, or one of '
      'these'
    )
  if run.num_seeds > 1:
    yield (
      f'{given} with --num_seeds={run.num_seeds}: each seed would choose its '
      'own; leave --num_seeds out, or name an estimator'
    )
  if config.data.num_labelled:
    yield (
      f'{given} with --num_labelled={config.data.num_labelled}: estimators are '
      'compared without classes; name an estimator'
    )
