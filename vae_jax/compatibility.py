"""Which options go together, and why the others do not."""

import dataclasses
from collections.abc import Iterator
from typing import Any

# The estimators that each objective has, the default first.
ESTIMATORS: dict[str, tuple[str, ...]] = {
  'elbo': ('pathwise', 'stl', 'score_function', 'mixture'),
  'iwae': ('pathwise', 'stl', 'dreg', 'score_function', 'vimco', 'mixture'),
  'miwae': ('pathwise', 'dreg', 'score_function', 'vimco'),
  'piwae': ('pathwise',),
  'ciwae': ('pathwise', 'dreg'),
  'renyi': ('pathwise',),
}
ALL_ESTIMATORS = tuple(dict.fromkeys(sum(ESTIMATORS.values(), ())))
DISCRETE = ('bernoulli',)
# Estimators that never differentiate a draw.
SAMPLED = ('score_function', 'vimco')
CLOSED_FORM_KL = (
  ('bernoulli', 'bernoulli'),
  ('full_normal', 'normal'),
  ('laplace', 'laplace'),
  ('normal', 'normal'),
)


# What a likelihood is a distribution over; the words are for messages.
BINARY, PIXELS = '0 and 1', '8-bit pixels'
UNIT, REALS = 'numbers in [0, 1]', 'real numbers'
SUPPORTS = {
  'bernoulli': BINARY,
  'continuous_bernoulli': UNIT,
  'normal': REALS,
  'normal_fixed': REALS,
  'normal_optimal': REALS,
  'discretised_logistic': PIXELS,
  'categorical': PIXELS,
}

# The option whose values read another one, which is refused beside the rest.
_BELONGS = {
  'alpha': ('objective', 'renyi'),
  'beta': ('objective', 'elbo'),
  'elbo_weight': ('objective', 'ciwae'),
  'free_bits': ('objective', 'elbo'),
  'kl_warmup_epochs': ('objective', 'elbo'),
  'num_groups': ('objective', 'miwae', 'piwae'),
  'sigma': ('likelihood', 'normal_fixed'),
}


def likelihoods_of(*supports: str) -> str:
  """Returns the flag with the likelihoods over any of these, as words."""
  *names, last = (name for name, x in SUPPORTS.items() if x in supports)
  return '--likelihood=' + (f'{", ".join(names)} or ' if names else '') + last


def resolve_form(config: Any) -> str:
  """Returns the form of the elbo that the flags ask for, never 'auto'."""
  if config.form != 'auto':
    return config.form
  if config.estimator in ('stl', 'mixture'):
    return 'joint'
  closed = (config.posterior, config.prior) in CLOSED_FORM_KL
  return 'kl' if closed else 'entropy'


def problems(config: Any) -> Iterator[str]:
  """Yields a line for each pair of options that do not go together."""
  yield from _latent_problems(config)
  if config.binarisation == 'dynamic' and config.likelihood != 'bernoulli':
    yield (
      f'--binarisation=dynamic with --likelihood={config.likelihood}: only '
      '--likelihood=bernoulli takes zeros and ones; leave --binarisation out'
    )
  yield from _estimator_problems(config)
  yield from _form_problems(config)
  defaults = {field.name: field.default for field in dataclasses.fields(config)}
  for name, (owner, *values) in _BELONGS.items():
    value, present = getattr(config, name), getattr(config, owner)
    if value != defaults[name] and present not in values:
      yield (
        f'--{name}={value} with --{owner}={present}: it belongs to '
        f'--{owner}={" or ".join(values)}'
      )


def _latent_problems(config: Any) -> Iterator[str]:
  discrete = config.posterior in DISCRETE
  if discrete != (config.prior in DISCRETE):
    yield (
      f'--posterior={config.posterior} with --prior={config.prior}: one is '
      'discrete and the other is not, so that the divergence is infinite'
    )
  if discrete and config.estimator not in SAMPLED:
    yield (
      f'--estimator={config.estimator} with --posterior={config.posterior}: a '
      'discrete z is no differentiable function of its parameters; use '
      '--estimator=score_function, or vimco with --objective=iwae'
    )


def _estimator_problems(config: Any) -> Iterator[str]:
  served = ESTIMATORS[config.objective]
  if config.estimator not in served:
    yield (
      f'--estimator={config.estimator} with --objective={config.objective}: '
      f'must be one of {", ".join(served)}'
    )
  if config.objective != 'elbo' and config.num_samples > 1:
    if config.estimator == 'stl':
      yield (
        f'--estimator=stl with --num_samples={config.num_samples}: sticking '
        'the landing is biased for more than one weighted draw; use '
        '--estimator=dreg'
      )
  elif config.estimator == 'vimco':
    yield (
      '--estimator=vimco with --num_samples=1: its baseline is made of the '
      'other draws; use 2 or more'
    )


def _form_problems(config: Any) -> Iterator[str]:
  if config.objective != 'elbo':
    if config.form in ('kl', 'entropy'):
      yield (
        f'--form={config.form} with --objective={config.objective}: the '
        'weights hold log q(z|x) of each draw, which no closed form replaces; '
        'leave --form out'
      )
    return
  form = resolve_form(config)
  if form != 'joint' and config.estimator in ('stl', 'mixture'):
    yield (
      f'--estimator={config.estimator} with --form={form}: a closed form has '
      'no log q(z|x) to hold; use --form=joint'
    )
  if form == 'kl' and (config.posterior, config.prior) not in CLOSED_FORM_KL:
    yield (
      f'--form=kl with --posterior={config.posterior} --prior={config.prior}: '
      'their divergence has no closed form; use --form=entropy or joint'
    )
  if config.free_bits and (form != 'kl' or config.posterior == 'full_normal'):
    yield (
      f'--free_bits={config.free_bits} with --form={form} '
      f'--posterior={config.posterior}: it needs the divergence of each '
      'dimension in closed form'
    )
