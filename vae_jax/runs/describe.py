"""The objective and optimizer of a run in words, read from the tables."""

from typing import Any

from vae_jax.models import LIKELIHOODS, POSTERIORS, PRIORS
from vae_jax.models.hierarchy import INFERENCES
from vae_jax.objectives import ESTIMATORS, OBJECTIVES
from vae_jax.runs.config import Config
from vae_jax.runs.config.auto import is_auto
from vae_jax.runs.config.conflicts import estimators_of, form_of
from vae_jax.runs.config.latent_pair import learns_prior
from vae_jax.training import OPTIMIZERS, SCHEDULES

_WEIGHT = 'w = p(x|z) p(z) / q(z|x)'
_FORMS = {
  'kl': 'KL in closed form',
  'entropy': 'KL = -H[q] - E_q[log p(z)], the entropy H in closed form',
  'joint': 'KL = E_q[log q(z|x) - log p(z)], by Monte Carlo',
  'auto': 'KL in the first form that q and p have: closed, by entropy, sampled',
}


def describe(config: Config, model: Any = None) -> str:
  """Returns a few lines that define the objective of a run.

  They state its formula, families, constants and reductions, beta, K, the form
  of the divergence, the gradient estimator and the units.

  Args:
    config: options of the run.
    model: a model of the user's own, which replaces the families of the
      config; None for theirs.
  """
  return '\n'.join(
    [
      f'Maximises {_formula(config)}, in nats:',
      f'  {_families(config, model)}; densities with all their constants',
      '  summed over the data and latent dimensions of an example, averaged '
      'over the batch',
      *_condition_details(config),
      *_missing_details(config),
      *(f'  {line}' for line in _details(config, model)),
    ]
  )


def describe_training(config: Config, *, custom: bool = False) -> list[str]:
  """Returns lines on the optimizer, moving average and early stopping.

  Args:
    config: options of the run.
    custom: whether the optimizer was given from Python.
  """
  options = config.optimizer
  lines = []
  if not custom:
    words = OPTIMIZERS[options.optimizer].words.format(**vars(options))
    lines.append(f'Optimizer {words}, {_rate(options)}')
    if options.clip_norm:
      lines.append(
        f'  gradients longer than {options.clip_norm:g}, in the norm over all '
        'parameters, are scaled to it; grad_norm is the norm before'
      )
  if options.ema:
    lines.append(
      f'  a moving average of the parameters (EMA {options.ema:g} per step, '
      'debiased) is validated, saved beside them and reported'
    )
  if options.patience:
    lines.append(
      f'  stops after {options.patience} epochs without a higher validation '
      'ELBO; the best checkpoint is reported'
    )
  return lines


def _rate(options: Any) -> str:
  words = SCHEDULES[options.schedule].words
  warmup = ''
  if options.learning_rate_warmup_epochs:
    warmup = f', warm-up over {options.learning_rate_warmup_epochs} epochs'
  elif options.learning_rate_warmup_steps:
    warmup = f', warm-up over {options.learning_rate_warmup_steps} steps'
  return f'learning rate {options.learning_rate:g}, {words}{warmup}'


def _condition_details(config: Config) -> list[str]:
  if config.data.condition == 'none':
    return []
  lines = [
    f'  y is the condition ({config.data.condition}): every ELBO and NLL is '
    'that of x given y'
  ]
  if config.data.num_labelled:
    weight = config.objective.classification_weight
    lines += [
      f'  semi-supervised (M2): labels of {config.data.num_labelled} training '
      'examples are seen, p(y) is uniform;',
      '  training maximises, per example, log p(y) + ELBO if labelled, else '
      'sum_y q(y|x) (log p(y) + ELBO) + H[q(y|x)],',
      f'  plus {weight:g} times the mean log q(y|x) over the labelled examples',
    ]
  return lines


def _missing_details(config: Config) -> list[str]:
  if config.data.missing == 'refuse':
    return []
  return [
    '  x stands for what is observed: missing data leave the sum of '
    'log p(x|z), and q sees zeros and the mask'
  ]


def _formula(config: Config) -> str:
  row = OBJECTIVES[config.objective.objective]
  if row.weighted:
    return f'{row.formula}, {_WEIGHT}'
  if config.objective.beta != 1 or config.objective.kl_warmup_epochs:
    return row.formula.replace('- KL', '- beta KL')
  return row.formula


def _families(config: Config, model: Any) -> str:
  if model is not None:
    return f'the model {name_of(model)}'
  options = config.model
  given = vars(options)
  likelihood = LIKELIHOODS[options.likelihood].words.format(**given)
  prior = PRIORS[options.prior].words.format(**given)
  posterior = POSTERIORS[options.posterior].words.format(**given)
  if options.latent_dims:
    return _layers(options, likelihood, prior, posterior)
  if config.data.condition == 'none':
    return f'p(x|z) {likelihood}, p(z) {prior}, q(z|x) {posterior}'
  name = 'p(z|y) = p(z)'
  if options.condition_prior:
    name, prior = 'p(z|y)', f'{options.prior}, its parameters affine in y'
  return f'p(x|z, y) {likelihood}, {name} {prior}, q(z|x, y) {posterior}'


def _layers(options: Any, likelihood: str, prior: str, q: str) -> str:
  """Returns the families of several stochastic layers."""
  count = len(options.latent_dims)
  below = ', '.join(f'p(z{i}|z{i + 1})' for i in range(1, count))
  order = INFERENCES[options.inference].words(count)
  return f'p(x|z1) {likelihood}, {below} {q}, p(z{count}) {prior}, {order} {q}'


def name_of(model: Any) -> str:
  """Returns the name of a model of the user's own."""
  return getattr(model, '__name__', type(model).__name__)


def _details(config: Config, model: Any) -> list[str]:
  options = config.objective
  row = OBJECTIVES[options.objective]
  lines = []
  if model is None and config.model.size_factor == 'total':
    lines.append(
      'p(x) is p(x|s) and p(x|z) is p(x|z, s), s = the total of x, an observed '
      'covariate; log p(x|s) and log p(x) do not compare'
    )
  if not row.weighted:
    lines += _elbo_details(config, model)
  if 'elbo_weight' in row.options:
    lines.append(f'a = {options.elbo_weight:g}')
  if 'alpha' in row.options:
    lines.append(f'alpha = {options.alpha:g}')
  samples = f'K = {options.num_samples} samples of z per example'
  if 'num_groups' in row.options:
    samples = f'M = {options.num_groups} groups of {samples}'
  if is_auto(config):
    return [*lines, samples, *_choice(config)]
  estimator = ESTIMATORS[options.estimator]
  words = estimator.words.format(
    other='dreg' if row.weighted else 'stl', **vars(options)
  )
  if estimator.enumerates:
    samples = 'exact expectation over every value of z, without samples'
  lines += [samples, f'gradient in the encoder: {words}']
  reads_prior = estimator.reparameterises_prior
  if reads_prior and model is None and not learns_prior(config.model):
    lines.append(
      f'p(z) learns nothing: --estimator={options.estimator} is here dreg'
    )
  return lines


def _choice(config: Config) -> list[str]:
  return [
    'gradient in the encoder: the estimator of the least variance x cost among '
    + ', '.join(estimators_of(config)),
    'they are measured at the start and after each tenth of the epochs',
  ]


def _elbo_details(config: Config, model: Any) -> list[str]:
  options = config.objective
  known = model is None and not is_auto(config)
  form = form_of(config) if known else options.form
  if options.kl_warmup_epochs:
    beta = (
      f'beta increases from 0 to {options.beta:g} over '
      f'{options.kl_warmup_epochs} epochs; the reported ELBO has beta = 1'
    )
  elif options.beta != 1:
    beta = f'beta = {options.beta:g}; the reported ELBO has beta = 1'
  else:
    beta = 'beta = 1'
  lines = [_FORMS[form], beta]
  if options.free_bits:
    lines.append(
      f'free bits: {options.free_bits:g} nats of KL per latent dimension, '
      'averaged over the batch, cost nothing; the reported ELBO has none'
    )
  return lines
