"""Tables of objectives and gradient estimators, each row with its facts."""

from collections.abc import Callable
from typing import Any, NamedTuple

from vae_jax.distributions import Bernoulli, Categorical, Distribution
from vae_jax.objectives.elbo import elbo, mixed_elbo
from vae_jax.objectives.importance import iw_elbo, mixed_iw_elbo
from vae_jax.objectives.variants import (
  ciw_elbo,
  miw_elbo,
  piw_elbo,
  renyi_elbo,
)
from vae_jax.types import Array, Key, LogDensity

# (key, q, prior, log_likelihood, **options) -> terms of one example, by name
Terms = Callable[..., dict[str, Array]]


class Estimator(NamedTuple):
  """A row of `ESTIMATORS`: a gradient with respect to the encoder.

  Attributes:
    words: the gradient in a sentence; `{other}` names the second estimator
      of a combination, `{option}` stands for an option's value.
    differentiates_draws: z must be reparameterised.
    stops_log_q: the ELBO must be in form 'joint', whose log q(z|x) it stops.
    min_samples: least K.
    max_weighted_samples: greatest K of a weighted bound; None for any.
    reparameterises_prior: p(z) must have z = g(lambda, eps) with an inverse,
      and the gradient of its parameters is another than that of 'pathwise'.
    families: families of q that it is defined for; empty for any.
    enumerates: it sums over every value of z, and draws none.
    draws_pairs: K must be even.
    forms: forms of the ELBO that it admits; empty for any.
    options: options that it reads.
    is_biased: its expectation is not the gradient of the bound.
  """

  words: str
  differentiates_draws: bool = True
  stops_log_q: bool = False
  min_samples: int = 1
  max_weighted_samples: int | None = None
  reparameterises_prior: bool = False
  families: tuple[type[Distribution], ...] = ()
  enumerates: bool = False
  draws_pairs: bool = False
  forms: tuple[str, ...] = ()
  options: tuple[str, ...] = ()
  is_biased: bool = False


def _relaxation(words: str) -> Estimator:
  """Builds the row of a biased estimator through relaxed draws."""
  return Estimator(
    f'BIASED, {words}; the value and the gradient in the decoder are those of '
    'discrete z, unbiased',
    differentiates_draws=False,
    families=(Bernoulli, Categorical),
    forms=('kl',),
    options=('temperature',),
    is_biased=True,
  )


ESTIMATORS = {
  'pathwise': Estimator('pathwise: z = g(phi, eps), every term differentiated'),
  'stl': Estimator(
    'sticking the landing: phi stop-gradient inside log q(z|x)',
    stops_log_q=True,
    max_weighted_samples=1,
  ),
  'dreg': Estimator(
    'doubly reparameterised: w_k / sum w squared, phi stop-gradient inside '
    'log q'
  ),
  'gdreg': Estimator(
    'generalised doubly reparameterised: dreg, and for the parameters of p(z) '
    "too through z = g(lambda, eps), the prior's own",
    reparameterises_prior=True,
  ),
  'score_function': Estimator(
    'score function: the bound times grad log q(z|x)',
    differentiates_draws=False,
  ),
  'vimco': Estimator(
    'score function with a baseline per sample from the other K - 1 samples '
    '(VIMCO)',
    differentiates_draws=False,
    min_samples=2,
  ),
  'adaptive': Estimator(
    'a combination of pathwise and {other}, its coefficient learned from the '
    'other examples of the batch',
    stops_log_q=True,
  ),
  'enumeration': Estimator(
    'enumeration: the exact gradient of the sum over every value of z',
    differentiates_draws=False,
    families=(Bernoulli, Categorical),
    enumerates=True,
  ),
  'disarm': Estimator(
    'DisARM: antithetic pairs of bits, without a derivative of p(x|z) in z',
    differentiates_draws=False,
    min_samples=2,
    families=(Bernoulli,),
    draws_pairs=True,
  ),
  'gumbel_softmax': _relaxation(
    'Gumbel-softmax: the path through a softmax of temperature {temperature:g}'
  ),
  'straight_through': _relaxation(
    'straight-through Gumbel-softmax: the derivative at discrete z along the '
    'path of a softmax of temperature {temperature:g}'
  ),
}


class Objective(NamedTuple):
  """A row of `OBJECTIVES`: a bound on log p(x).

  Attributes:
    metric: name of the metric that carries the bound.
    formula: the bound in words.
    terms: the terms of one example, among them `metric`.
    estimators: admissible gradient estimators, the default first.
    options: options that `terms` reads.
    loss_options: options of the loss over a batch.
    weighted: whether it weights its samples by w = p(x, z) / q(z|x).
  """

  metric: str
  formula: str
  terms: Terms
  estimators: tuple[str, ...]
  options: tuple[str, ...]
  loss_options: tuple[str, ...] = ()
  weighted: bool = True


def _elbo_terms(
  key: Key,
  q: Distribution,
  prior: Distribution,
  log_likelihood: LogDensity,
  *,
  form: str,
  estimator: str,
  num_samples: int,
  temperature: float,
  **coefficient: Any,
) -> dict[str, Array]:
  if estimator == 'adaptive':
    options = {'num_samples': num_samples, **coefficient}
    return mixed_elbo(key, q, prior, log_likelihood, **options)._asdict()
  return elbo(
    key,
    q,
    prior,
    log_likelihood,
    form=form,
    estimator=estimator,
    num_samples=num_samples,
    temperature=temperature,
  )._asdict()


def _iw_elbo(
  key: Key, q: Distribution, log_joint: LogDensity, **options: Any
) -> Array:
  if options['estimator'] == 'adaptive':
    del options['estimator']
    return mixed_iw_elbo(key, q, log_joint, **options)
  return iw_elbo(key, q, log_joint, **options)


def of_log_joint(metric: str, bound: Callable[..., Array]) -> Terms:
  """Returns the terms of a bound `bound(key, q, log_joint, **options)`.

  Args:
    metric: name of the metric that carries the bound.
    bound: the bound of one example, `[]`, in nats.
  """

  def terms(
    key: Key,
    q: Distribution,
    prior: Distribution,
    log_likelihood: LogDensity,
    **options: Any,
  ) -> dict[str, Array]:
    log_joint = lambda z: log_likelihood(z) + prior.log_prob(z)
    name = options.get('estimator')
    if name in ESTIMATORS and ESTIMATORS[name].reparameterises_prior:
      options['prior'] = prior
    return {metric: bound(key, q, log_joint, **options)}

  return terms


OBJECTIVES = {
  'elbo': Objective(
    'elbo',
    'the ELBO, E_q[log p(x|z)] - KL(q(z|x) || p(z))',
    _elbo_terms,
    estimators=(
      *('pathwise', 'stl', 'score_function', 'adaptive', 'enumeration'),
      *('disarm', 'gumbel_softmax', 'straight_through'),
    ),
    options=('form', 'estimator', 'num_samples', 'temperature'),
    loss_options=('beta', 'free_bits', 'kl_warmup_epochs'),
    weighted=False,
  ),
  'iwae': Objective(
    'iw_elbo',
    'IWAE, log 1/K sum_k w_k',
    of_log_joint('iw_elbo', _iw_elbo),
    estimators=(
      *('pathwise', 'stl', 'dreg', 'gdreg', 'score_function', 'vimco'),
      'adaptive',
    ),
    options=('estimator', 'num_samples'),
  ),
  'miwae': Objective(
    'miw_elbo',
    'MIWAE, 1/M sum_m log 1/K sum_k w_mk',
    of_log_joint('miw_elbo', miw_elbo),
    estimators=('pathwise', 'dreg', 'gdreg', 'score_function', 'vimco'),
    options=('estimator', 'num_samples', 'num_groups'),
  ),
  'piwae': Objective(
    'piw_elbo',
    'PIWAE, log 1/MK sum_mk w_mk for the decoder, 1/M sum_m log 1/K sum_k w_mk '
    'for the encoder',
    of_log_joint('piw_elbo', piw_elbo),
    estimators=('pathwise',),
    options=('num_samples', 'num_groups'),
  ),
  'ciwae': Objective(
    'ciw_elbo',
    'CIWAE, a E_q[log w] + (1 - a) log 1/K sum_k w_k',
    of_log_joint('ciw_elbo', ciw_elbo),
    estimators=('pathwise', 'dreg'),
    options=('estimator', 'num_samples', 'elbo_weight'),
  ),
  'renyi': Objective(
    'renyi_elbo',
    'RENYI, 1/(1 - alpha) log 1/K sum_k w_k^(1 - alpha)',
    of_log_joint('renyi_elbo', renyi_elbo),
    estimators=('pathwise',),
    options=('num_samples', 'alpha'),
  ),
}
