"""The objective of a run in words: what exactly is climbed, and how."""

from vae_jax.compatibility import resolve_form
from vae_jax.config import Config

_FORMULAS = {
  'elbo': 'E_q[log p(x|z)] - KL(q(z|x) || p(z))',
  'iwae': 'log 1/K sum_k w_k',
  'miwae': '1/M sum_m log 1/K sum_k w_mk',
  'piwae': (
    'log 1/MK sum_mk w_mk for the decoder, 1/M sum_m log 1/K sum_k w_mk for '
    'the encoder'
  ),
  'ciwae': 'a E_q[log w] + (1 - a) log 1/K sum_k w_k',
  'renyi': '1/(1 - alpha) log 1/K sum_k w_k^(1 - alpha)',
}
_WEIGHT = 'w = p(x|z) p(z) / q(z|x)'
_KL = {
  'kl': 'KL in closed form',
  'entropy': 'KL = -H[q] - E_q[log p(z)], the entropy H in closed form',
  'joint': 'KL = E_q[log q(z|x) - log p(z)], sampled',
}
_ESTIMATORS = {
  'pathwise': 'pathwise: z = g(phi, eps), all of the bound differentiated',
  'stl': 'sticking the landing: phi held inside log q(z|x)',
  'dreg': 'doubly reparameterised: w_k / sum w squared, phi held inside log q',
  'score_function': 'score function: the bound times grad log q(z|x)',
  'vimco': (
    'score function with a baseline a draw, made of the other K - 1 (VIMCO)'
  ),
  'mixture': (
    'a mixture of pathwise and {other}, its coefficient learned from the other '
    'examples of the batch'
  ),
}
_NAMES = {
  'full_normal': 'normal with full covariance',
  'continuous_bernoulli': 'continuous Bernoulli',
  'discretised_logistic': 'discretised logistic',
  'categorical': 'categorical of 256 levels',
}
_SIGMAS = {
  'normal': 'sigma learned',
  'normal_fixed': 'sigma = {sigma:g}',
  'normal_optimal': 'sigma that of each batch in closed form',
}


def describe(config: Config) -> str:
  """Returns a few lines that say which objective the flags ask for.

  Its formula, the families, constants and reductions, beta, K, the form of
  the divergence, the gradient estimator and the units.
  """
  lines = [f'Maximises {_formula(config)}, in nats:']
  lines.append(
    f'  p(x|z) {_likelihood(config)}, p(z) standard '
    f'{_name(config.prior)}, q(z|x) {_name(config.posterior)}; densities with '
    'all their constants'
  )
  lines.append('  summed over the data and latent dimensions of an example')
  lines[-1] += ', averaged over the batch'
  lines += [f'  {line}' for line in _details(config)]
  return '\n'.join(lines)


def _formula(config: Config) -> str:
  formula = _FORMULAS[config.objective]
  if config.objective != 'elbo':
    return f'{config.objective.upper()}, {formula}, {_WEIGHT}'
  if config.beta != 1 or config.kl_warmup_epochs:
    formula = formula.replace('- KL', '- beta KL')
  return f'the ELBO, {formula}'


def _details(config: Config) -> list[str]:
  lines = []
  if config.objective == 'elbo':
    lines.append(_KL[resolve_form(config)])
    if config.kl_warmup_epochs:
      lines.append(
        f'beta grows from 0 to {config.beta:g} over {config.kl_warmup_epochs} '
        'epochs; the ELBO reported has beta = 1'
      )
    elif config.beta != 1:
      lines.append(f'beta = {config.beta:g}; the ELBO reported has beta = 1')
    else:
      lines.append('beta = 1')
    if config.free_bits:
      lines.append(
        f'free bits: each latent dimension costs at least {config.free_bits:g} '
        'nats, on average over the batch; the ELBO reported has none'
      )
  if config.objective == 'ciwae':
    lines.append(f'a = {config.elbo_weight:g}')
  if config.objective == 'renyi':
    lines.append(f'alpha = {config.alpha:g}')
  draws = f'K = {config.num_samples} draws of z an example'
  if config.objective in ('miwae', 'piwae'):
    draws = f'M = {config.num_groups} groups of {draws}'
  other = 'stl' if config.objective == 'elbo' else 'dreg'
  estimator = _ESTIMATORS[config.estimator].format(other=other)
  return [*lines, draws, f'gradient in the encoder: {estimator}']


def _likelihood(config: Config) -> str:
  if config.likelihood in _SIGMAS:
    sigma = _SIGMAS[config.likelihood].format(sigma=config.sigma)
    return f'normal ({sigma})'
  return _name(config.likelihood)


def _name(family: str) -> str:
  return _NAMES.get(family, family)
