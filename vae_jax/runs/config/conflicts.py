"""Options that exclude each other, with the reason, read from the tables."""

from collections.abc import Iterator, Mapping
from typing import Any

from vae_jax.distributions import has_kl
from vae_jax.estimators import MAX_VALUES, num_labels, too_many_values
from vae_jax.models import LIKELIHOODS, POSTERIORS, PRIORS
from vae_jax.models.networks import NETWORKS
from vae_jax.models.supports import REALS
from vae_jax.objectives import ESTIMATORS, OBJECTIVES, resolve_form
from vae_jax.runs.config.auto import (
  auto_conflicts,
  candidates_of,
  is_auto,
  with_estimator,
)
from vae_jax.runs.config.conditions import condition_conflicts
from vae_jax.runs.config.latent_pair import (
  can_reparameterise_prior,
  has_kl_per_dimension,
  latent_pair,
  posteriors_of,
  supports,
)
from vae_jax.runs.config.layers import flag, layer_conflicts
from vae_jax.runs.config.unread import objective_readers, unread
from vae_jax.training import OPTIMIZERS

# A random key is made from a seed of 32 bits.
_NUM_SEEDS = 2**32

# The tables whose rows read options of the part `model`.
_MODEL_TABLES: dict[str, Mapping[str, Any]] = {
  'network': NETWORKS,
  'posterior': POSTERIORS,
  'prior': PRIORS,
  'likelihood': LIKELIHOODS,
}


def estimators_of(config: Any) -> tuple[str, ...]:
  """Returns the estimators of a run, several only with `--estimator=auto`."""
  if is_auto(config):
    return candidates_of(config, conflicts)
  return (config.objective.estimator,)


def first_of(config: Any) -> Any:
  """Returns the config with an estimator of the run in place of 'auto'."""
  if not is_auto(config):
    return config
  return with_estimator(config, estimators_of(config)[0])


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
  if is_auto(config):
    yield from auto_conflicts(config, conflicts)
    return
  model, objective = config.model, config.objective
  yield from _seed_conflicts(config.run)
  yield from layer_conflicts(model)
  yield from _latent_conflicts(model, objective)
  if not model.channels and 'channels' in NETWORKS[model.network].options:
    yield (
      f'--channels with --network={model.network}: got none, expected the '
      'channels of at least one convolution; leave --channels out'
    )
  if config.data.binarisation == 'dynamic' and model.likelihood != 'bernoulli':
    yield (
      f'--binarisation=dynamic with --likelihood={model.likelihood}: only '
      '--likelihood=bernoulli takes zeros and ones; leave --binarisation out'
    )
  yield from _data_conflicts(config)
  yield from condition_conflicts(config)
  yield from _estimator_conflicts(objective)
  yield from _form_conflicts(config)
  yield from unread(objective, 'objective', objective_readers())
  yield from unread(
    objective,
    'estimator',
    {name: row.options for name, row in ESTIMATORS.items()},
  )
  for owner, rows in _MODEL_TABLES.items():
    readers = {name: row.options for name, row in rows.items()}
    yield from unread(model, owner, readers)
  yield from _optimizer_conflicts(config.optimizer)


def _optimizer_conflicts(optimizer: Any) -> Iterator[str]:
  readers = {name: row.options for name, row in OPTIMIZERS.items()}
  yield from unread(optimizer, 'optimizer', readers)
  epochs = optimizer.learning_rate_warmup_epochs
  steps = optimizer.learning_rate_warmup_steps
  if epochs and steps:
    yield (
      f'--learning_rate_warmup_steps={steps} with '
      f'--learning_rate_warmup_epochs={epochs}: the warm-up has one length; '
      'leave one of them out'
    )


def _data_conflicts(config: Any) -> Iterator[str]:
  options, likelihood = config.data, config.model.likelihood
  for name, counts in (('image_shape', (2, 3)), ('resize', (2,))):
    value = getattr(options, name)
    if value and len(value) not in counts:
      yield (
        f'--{name}: got {",".join(map(str, value))}, expected height and width'
        + (', and perhaps channels' if 3 in counts else '')
      )
  if options.standardise and LIKELIHOODS[likelihood].support != REALS:
    yield (
      f'--standardise with --likelihood={likelihood}: standardised numbers are '
      f'any real numbers; use {likelihoods_of(REALS)}'
    )


def _latent_conflicts(model: Any, objective: Any) -> Iterator[str]:
  (q_words, p_words), is_discrete = supports(model)
  if q_words:
    yield (
      f'--posterior={model.posterior} with --prior={model.prior}: q(z|x) is '
      f'over {q_words} and p(z) over {p_words}; use two of one support'
    )
  rank, size = model.posterior_rank, model.latent_dim
  reads_rank = 'posterior_rank' in POSTERIORS[model.posterior].options
  if reads_rank and rank > size:
    yield (
      f'--posterior_rank={rank} with --latent_dim={size}: the covariance has '
      f'at most rank {size}; use a smaller rank, or --posterior=full_normal'
    )
  reads_width = 'posterior_width' in POSTERIORS[model.posterior].options
  if reads_width and model.posterior_width < size:
    yield (
      f'--posterior_width={model.posterior_width} with --latent_dim={size}: '
      f'some outputs would not depend on some inputs; use {size} or more'
    )
  estimator = ESTIMATORS[objective.estimator]
  if is_discrete and estimator.differentiates_draws:
    yield (
      f'--estimator={objective.estimator} with --posterior={model.posterior}: '
      'discrete samples are not differentiable; use '
      '--estimator=score_function, or vimco with --objective=iwae'
    )
  yield from _family_conflicts(model, objective.estimator)
  if estimator.reparameterises_prior and not can_reparameterise_prior(model):
    yield (
      f'--estimator={objective.estimator} with --prior={model.prior}: it has '
      'no z = g(lambda, eps) with an inverse; use --estimator=dreg'
    )


def _family_conflicts(model: Any, name: str) -> Iterator[str]:
  """Yields the families of q that the estimator is not defined for."""
  estimator, given = ESTIMATORS[name], f'--posterior={model.posterior}'
  if not estimator.families:
    return
  q, size = latent_pair(model)[0], model.latent_dim
  if not isinstance(q, estimator.families):
    admitted = posteriors_of(model, estimator.families)
    yield (
      f'--estimator={name} with {given}: it needs --posterior='
      f'{" or ".join(admitted)}; use another --estimator'
    )
  elif estimator.enumerates and too_many_values(num_labels(q), size):
    yield (
      f'--estimator={name} with {given} --latent_dim={size}: z has '
      f'{num_labels(q)}^{size} values, more than {MAX_VALUES}; use a smaller '
      '--latent_dim'
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
  if count < estimator.min_samples and not estimator.draws_pairs:
    yield (
      f'--estimator={name} with --num_samples={count}: its baseline needs '
      f'other samples; use {estimator.min_samples} or more'
    )
  if estimator.draws_pairs and count % 2:
    yield (
      f'--estimator={name} with --num_samples={count}: it draws antithetic '
      'pairs; use an even number'
    )
  if estimator.enumerates and count > 1:
    yield (
      f'--estimator={name} with --num_samples={count}: it sums over every z '
      'and draws none; leave --num_samples out'
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
  if model.latent_dims:
    families = f'{flag("latent_dims", model.latent_dims)} {families}'
  if form != 'joint' and ESTIMATORS[objective.estimator].stops_log_q:
    yield (
      f'--estimator={objective.estimator} with --form={form}: a closed form '
      'has no log q(z|x) to stop the gradient in; use --form=joint'
    )
  admitted = ESTIMATORS[objective.estimator].forms
  if admitted and form not in admitted:
    yield (
      f'--estimator={objective.estimator} with --form={form} {families} '
      f'--prior={model.prior}: log q(z|x) and log p(z) of discrete z are not '
      f'defined between its values; use --form={" or ".join(admitted)}, and a '
      'prior with which it has a closed form'
    )
  q, p = latent_pair(model)
  if form == 'kl' and not has_kl(q, p):
    instead = 'entropy or joint' if q.has_entropy else 'joint'
    yield (
      f'--form=kl with {families} --prior={model.prior}: their divergence has '
      f'no closed form; use --form={instead}'
    )
  if form == 'entropy' and not q.has_entropy:
    yield (
      f'--form=entropy with {families}: its entropy has no closed form; use '
      '--form=joint'
    )
  per_dimension = form == 'kl' and has_kl_per_dimension(model)
  if objective.free_bits and not per_dimension:
    yield (
      f'--free_bits={objective.free_bits} with --form={form} {families}: it '
      'needs the divergence of each dimension in closed form'
    )
