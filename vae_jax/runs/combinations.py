"""The table of options that may be combined, generated from the tables."""

import dataclasses
import itertools
import textwrap
from collections.abc import Iterator
from typing import Any

from vae_jax.errors import UserError
from vae_jax.models import POSTERIORS, PRIORS
from vae_jax.objectives import ESTIMATORS, OBJECTIVES
from vae_jax.runs.config import Config
from vae_jax.runs.config.latent_pair import share_support

_FORMS = ('auto', 'kl', 'entropy', 'joint')


def combinations(**options: Any) -> Iterator[Config]:
  """Yields a config for every legal combination of families and objective.

  Every posterior, prior, objective, estimator and form that do not exclude
  each other.

  Args:
    **options: other options of each config, such as `latent_dim`.
  """
  base = Config(**options)
  models = [
    dataclasses.replace(base.model, posterior=posterior, prior=prior)
    for posterior, prior in itertools.product(POSTERIORS, PRIORS)
  ]
  # Whole parts are checked once, and not with each of the others.
  models = [model for model in models if share_support(model)]
  pairs = itertools.product(models, _objectives(base, options))
  for model, objective in pairs:
    try:
      yield Config(
        data=base.data,
        model=model,
        objective=objective,
        optimizer=base.optimizer,
        run=base.run,
      )
    except UserError:
      continue


def _objectives(base: Config, options: dict[str, Any]) -> list[Any]:
  """Returns every objective, estimator and form, with a fitting K."""
  found = []
  for objective, estimator, form in itertools.product(
    OBJECTIVES, ESTIMATORS, _FORMS
  ):
    row = ESTIMATORS[estimator]
    weighted, most = OBJECTIVES[objective].weighted, row.max_weighted_samples
    count = most if weighted and most else max(2, row.min_samples)
    count = 1 if row.enumerates else count
    found.append(
      dataclasses.replace(
        base.objective,
        objective=objective,
        estimator=estimator,
        form=form,
        num_samples=options.get('num_samples', count),
      )
    )
  return found


def table() -> str:
  """Returns the legal combinations as two small tables in plain text."""
  # Two dimensions, whose values can be enumerated.
  legal = list(combinations(latent_dim=2))
  lines = ['Objectives and their estimators']
  for objective, row in OBJECTIVES.items():
    lines += _wrap(objective, ', '.join(map(_labelled, row.estimators)))
  lines += ['', 'Posteriors: priors, estimators and forms of the elbo']
  for posterior in POSTERIORS:
    own = [c for c in legal if c.model.posterior == posterior]
    priors = dict.fromkeys(c.model.prior for c in own)
    names = dict.fromkeys(_labelled(c.objective.estimator) for c in own)
    forms = dict.fromkeys(
      f'{c.objective.form} (prior {c.model.prior})'
      if c.objective.form == 'kl'
      else c.objective.form
      for c in own
      if c.objective.form != 'auto'
    )
    choices = '; '.join(', '.join(each) for each in (priors, names, forms))
    lines += _wrap(posterior, choices)
  return '\n'.join(lines)


def _labelled(estimator: str) -> str:
  """Returns the name of an estimator, with a word where it is biased."""
  return estimator + ' (BIASED)' * ESTIMATORS[estimator].is_biased


def _wrap(name: str, choices: str) -> list[str]:
  """Returns the lines of a row of a table."""
  return textwrap.wrap(
    choices,
    80,
    initial_indent=f'  {name:<12} ',
    subsequent_indent=' ' * 15,
  )
