"""Options that exclude each other, with the reason, read from the tables."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.distributions import Distribution, has_kl, kl_per_dimension
from vae_jax.models import LIKELIHOODS, POSTERIORS, PRIORS
from vae_jax.objectives import ESTIMATORS, OBJECTIVES, resolve_form
from vae_jax.runs.config.conditions import condition_conflicts

# A random key is made from a seed of 32 bits.
_NUM_SEEDS = 2**32

# The tables whose rows read options of the part `model`.
_MODEL_TABLES: dict[str, Mapping[str, Any]] = {
  'posterior': POSTERIORS,
  'prior': PRIORS,
  'likelihood': LIKELIHOODS,
}


@functools.cache
def latent_pair(model: Any) -> tuple[Distribution, Distribution]:
  """Returns q(z|x) and p(z) of two dimensions, with abstract parameters.

  Args:
    model: the part `model` of a config.
  """
  q_row, p_row = POSTERIORS[model.posterior], PRIORS[model.prior]
  read = lambda names: {name: getattr(model, name) for name in names}

  def make() -> tuple[Distribution, Distribution]:
    key = jax.random.key(0)
    q_head = q_row.head(2, **read(q_row.options))
    zeros = {name: jnp.zeros(shape) for name, shape in q_head.outputs.items()}
    q = q_head.make(q_head.init(key), zeros)
    p_head = p_row.head(2, **read(p_row.options))
    return q, p_head.make(p_head.init(key), lambda x: q)

  return jax.eval_shape(make)


@functools.cache
def _has_kl_per_dimension(model: Any) -> bool:
  try:
    jax.eval_shape(kl_per_dimension, *latent_pair(model))
  except TypeError:
    return False
  return True


def form_of(config: Any) -> str:
  """Returns the form of the ELBO that `--form` stands for, never 'auto'."""
  pair = latent_pair(config.model)
  return resolve_form(config.objective.form, config.objective.estimator, *pair)


def _seed_conflicts(run: Any) -> Iterator[str]:
  if run.seed + run.num_seeds > _NUM_SEEDS:
    yield (
      f'--seed={run.seed} with --num_seeds={run.num_seeds}: the last seed '
      f'would exceed {_NUM_SEEDS - 1}; use a smaller --seed'
    )
  if run.num_seeds > 1 and run.num_devices != 1:
    yield (
      f'--num_devices={run.num_devices} with --num_seeds={run.num_seeds}: '
      'many seeds train on one device; leave --num_devices out'
    )
  if run.num_seeds > 1 and run.distributed:
    yield (
      f'--distributed with --num_seeds={run.num_seeds}: many seeds train in '
      'one process; leave --distributed out'
    )


def likelihoods_of(*supports: str) -> str:
  """Returns the flag with the likelihoods over any of these supports."""
  *names, last = (
    n for n, row in LIKELIHOODS.items() if row.support in supports
  )
  return '--likelihood=' + (f'{", ".join(names)} or ' if names else '') + last


def conflicts(config: Any) -> Iterator[str]:
  """Yields one line for each pair of options that exclude each other."""
  model, objective = config.model, config.objective
  yield from _seed_conflicts(config.run)
  yield from _latent_conflicts(model, objective)
  if config.data.binarisation == 'dynamic' and model.likelihood != 'bernoulli':
    yield (
      f'--binarisation=dynamic with --likelihood={model.likelihood}: only '
      '--likelihood=bernoulli takes zeros and ones; leave --binarisation out'
    )
  yield from condition_conflicts(config)
  yield from _estimator_conflicts(objective)
  yield from _form_conflicts(config)
  yield from _unread(objective, 'objective', _objective_readers())
  for owner, rows in _MODEL_TABLES.items():
    readers = {name: row.options for name, row in rows.items()}
    yield from _unread(model, owner, readers)


def _objective_readers() -> dict[str, tuple[str, ...]]:
  always = ('estimator', 'form')  # Have messages of their own.
  return {
    name: tuple(
      option
      for option in (*row.options, *row.loss_options)
      if option not in always
    )
    for name, row in OBJECTIVES.items()
  }


def _unread(
  part: Any, owner: str, readers: dict[str, tuple[str, ...]]
) -> Iterator[str]:
  """Yields a line for each changed option that no chosen row reads."""
  present = getattr(part, owner)
  defaults = {field.name: field.default for field in dataclasses.fields(part)}
  for name in dict.fromkeys(sum(readers.values(), ())):
    value = getattr(part, name)
    reading = [row for row, options in readers.items() if name in options]
    if value != defaults[name] and present not in reading:
      yield (
        f'--{name}={value} with --{owner}={present}: it belongs to '
        f'--{owner}={" or ".join(reading)}'
      )


def _latent_conflicts(model: Any, objective: Any) -> Iterator[str]:
  q, p = latent_pair(model)
  if q.is_discrete != p.is_discrete:
    yield (
      f'--posterior={model.posterior} with --prior={model.prior}: one is '
      'discrete and the other is not, so that the divergence is infinite'
    )
  estimator = ESTIMATORS[objective.estimator]
  if q.is_discrete and estimator.differentiates_draws:
    yield (
      f'--estimator={objective.estimator} with --posterior={model.posterior}: '
      'discrete samples are not differentiable; use '
      '--estimator=score_function, or vimco with --objective=iwae'
    )


def _estimator_conflicts(objective: Any) -> Iterator[str]:
  row, name = OBJECTIVES[objective.objective], objective.estimator
  estimator, count = ESTIMATORS[name], objective.num_samples
  if name not in row.estimators:
    yield (
      f'--estimator={name} with --objective={objective.objective}: expected '
      f'one of {", ".join(row.estimators)}'
    )
  most = estimator.max_weighted_samples
  if row.weighted and most is not None and count > most:
    yield (
      f'--estimator={name} with --num_samples={count}: it is biased for more '
      f'than {most} weighted sample; use --estimator=dreg'
    )
  if count < estimator.min_samples:
    yield (
      f'--estimator={name} with --num_samples={count}: its baseline needs '
      f'other samples; use {estimator.min_samples} or more'
    )


def _form_conflicts(config: Any) -> Iterator[str]:
  model, objective = config.model, config.objective
  if OBJECTIVES[objective.objective].weighted:
    if objective.form in ('kl', 'entropy'):
      yield (
        f'--form={objective.form} with --objective={objective.objective}: the '
        'weights contain log q(z|x) of each sample, which no closed form '
        'replaces; leave --form out'
      )
    return
  form, families = form_of(config), f'--posterior={model.posterior}'
  if form != 'joint' and ESTIMATORS[objective.estimator].stops_log_q:
    yield (
      f'--estimator={objective.estimator} with --form={form}: a closed form '
      'has no log q(z|x) to stop the gradient in; use --form=joint'
    )
  q, p = latent_pair(model)
  if form == 'kl' and not has_kl(q, p):
    yield (
      f'--form=kl with {families} --prior={model.prior}: their divergence has '
      'no closed form; use --form=entropy or joint'
    )
  if form == 'entropy' and not q.has_entropy:
    yield (
      f'--form=entropy with {families}: its entropy has no closed form; use '
      '--form=joint'
    )
  per_dimension = form == 'kl' and _has_kl_per_dimension(model)
  if objective.free_bits and not per_dimension:
    yield (
      f'--free_bits={objective.free_bits} with --form={form} {families}: it '
      'needs the divergence of each dimension in closed form'
    )
