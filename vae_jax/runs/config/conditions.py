"""Options on conditions that exclude each other."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.distributions.masked import admits_mask
from vae_jax.models import LIKELIHOODS
from vae_jax.models.make_conditional import CONDITIONAL_PRIORS, not_beside_x

_DEFAULT_WEIGHT = 0.1


def condition_conflicts(config: Any) -> Iterator[str]:
  """Yields a line for each pair of options that exclude each other."""
  model, condition = config.model, config.data.condition
  if model.condition_prior and condition == 'none':
    yield (
      '--condition_prior with --condition=none: p(z|y) needs a condition; use '
      '--condition=labels, or leave --condition_prior out'
    )
  if model.condition_prior and model.prior not in CONDITIONAL_PRIORS:
    yield (
      f'--condition_prior with --prior={model.prior}: a learned p(z|y) is one '
      f'of --prior={", ".join(CONDITIONAL_PRIORS)}'
    )
  yield from _beside_x_conflicts(config)
  yield from _missing_conflicts(config)
  if config.data.num_labelled:
    yield from _semi_supervised_conflicts(config)
  elif config.objective.classification_weight != _DEFAULT_WEIGHT:
    yield (
      f'--classification_weight={config.objective.classification_weight} '
      'with --num_labelled=0: only a semi-supervised model has a classifier; '
      'use --num_labelled=100, or leave --classification_weight out'
    )


def _beside_x_conflicts(config: Any) -> Iterator[str]:
  """Yields the options whose encoder takes x alone."""
  options = config.data
  given = [
    f'--{name}={getattr(options, name)}'
    for name, default in (('condition', 'none'), ('missing', 'refuse'))
    if getattr(options, name) != default
  ]
  for name in not_beside_x(vars(config.model)) if given else ():
    value = getattr(config.model, name)
    words = ','.join(map(str, value)) if isinstance(value, tuple) else value
    yield (
      f'--{name}={words} with {given[0]}: its model takes x alone; leave '
      'one of them out'
    )


def _is_by_entry(model: Any) -> bool:
  """Returns whether p(x|z) admits leaving entries of x out."""
  row = LIKELIHOODS[model.likelihood]
  options = {name: getattr(model, name) for name in row.options}
  head = row.head((2, 2, 1), None, **options)
  dtype = jnp.result_type(float)
  inputs = [jax.ShapeDtypeStruct(head.output_shape, dtype)]
  if head.size is not None:
    inputs.append(jax.ShapeDtypeStruct((), dtype))
  p = jax.eval_shape(
    lambda key, *inputs: head.make(head.init(key), *inputs),
    jax.random.key(0),
    *inputs,
  )
  return admits_mask(p)


def _missing_conflicts(config: Any) -> Iterator[str]:
  """Yields the options that do not admit missing data."""
  if config.data.missing == 'refuse':
    return
  likelihood = config.model.likelihood
  if LIKELIHOODS[likelihood].fits_sigma:
    yield (
      f'--likelihood={likelihood} with --missing=mask: the best sigma would '
      'count missing data; use --likelihood=normal'
    )
  if not _is_by_entry(config.model):
    yield (
      f'--likelihood={likelihood} with --missing=mask: the channels of a pixel '
      'depend on each other; use --likelihood=discretised_logistic'
    )
  if config.data.num_labelled:
    yield (
      f'--num_labelled={config.data.num_labelled} with --missing=mask: the '
      'classifier takes no mask; leave one of them out'
    )


def _semi_supervised_conflicts(config: Any) -> Iterator[str]:
  """Yields the options that `make_semi_supervised_loss` does not take."""
  model, objective = config.model, config.objective
  given = f'with --num_labelled={config.data.num_labelled}'
  if config.data.condition == 'none':
    yield (
      f'--condition=none {given}: labels are the condition of a '
      'semi-supervised model; use --condition=labels'
    )
  if objective.objective != 'elbo':
    yield (
      f'--objective={objective.objective} {given}: the classes are summed in '
      'the ELBO; leave --objective out'
    )
  if objective.estimator == 'adaptive':
    yield (
      f'--estimator=adaptive {given}: its coefficient is learned without '
      'classes; use another --estimator'
    )
  if objective.free_bits:
    yield (
      f'--free_bits={objective.free_bits} {given}: the KL depends on the class '
      'that is summed out; leave --free_bits out'
    )
  if LIKELIHOODS[model.likelihood].fits_sigma:
    yield (
      f'--likelihood={model.likelihood} {given}: the best sigma would be read '
      'from all labels; use --likelihood=normal'
    )
  if config.optimizer.batch_size < 2:
    yield (
      f'--batch_size={config.optimizer.batch_size} {given}: a batch has '
      'labelled and unlabelled examples; use 2 or more'
    )
  if config.run.monitor_gradients:
    yield (
      f'--monitor_gradients {given}: it measures another bound, of x given y; '
      'leave it out'
    )
