"""The evidence lower bound (ELBO) of one example, in each of its forms."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.distributions import (
  Distribution,
  _shapes,
  first_order_only,
  has_kl,
  kl,
  reparameterise_many,
)
from vae_jax.estimators import scale_gradient
from vae_jax.objectives import _draws, _points
from vae_jax.types import Array, ArrayLike, Key, LogDensity

FORMS = ('auto', 'kl', 'entropy', 'joint')


class ElboTerms(NamedTuple):
  """elbo = log_likelihood - beta * kl, each `[]`, in nats."""

  elbo: Array
  log_likelihood: Array
  kl: Array


def elbo(
  key: Key,
  q: Distribution,
  prior: Distribution,
  log_likelihood: LogDensity,
  *,
  form: str = 'kl',
  estimator: str = 'pathwise',
  num_samples: int = 1,
  beta: ArrayLike = 1.0,
  temperature: ArrayLike = 0.5,
  has_aux: bool = False,
) -> Any:
  """Estimates the evidence lower bound of one example.

  log p(x) >= E_q[log p(x|z)] - KL(q || p(z)), the expectation over
  `num_samples` draws. The forms are equal in expectation and differ in how
  the divergence is computed:

  * 'kl': in closed form;
  * 'entropy': E_q[log p(x,z)] + H[q], the entropy in closed form;
  * 'joint': E_q[log p(x,z) - log q(z)], entirely by Monte Carlo;
  * 'auto': the first of these that q, prior and estimator have.

  The estimators of the gradient with respect to the parameters of q:

  * 'pathwise': z = g(phi, eps), every term differentiated;
  * 'stl', sticking the landing, in form 'joint': phi is stop-gradient inside
    log q(z), which drops a term of mean 0; the variance is 0 where q is the
    posterior;
  * 'score_function': for any q, also a discrete one, with a leave-one-out
    baseline for 2 or more samples;
  * 'enumeration': exact value and gradient, the sum over every value of a
    Bernoulli or Categorical z, at most 4096;
  * 'disarm': antithetic pairs of draws of a Bernoulli z;
  * 'gumbel_softmax' and 'straight_through', in form 'kl': BIASED in q through
    relaxations of a Bernoulli or Categorical z. The value, and the gradient in
    p(x|z), are those of discrete draws, unbiased. `log_likelihood` takes the
    labels of a Categorical one-hot, `[Z, K]`.

  The gradient with respect to what log p(x,z) closes over is included.

  Args:
    key: consumed.
    q: q(z|x), over an event `[Z]` or a dict of named events.
    prior: p(z), over the same event.
    log_likelihood: z -> log p(x|z), `[]`; closes over x and the decoder.
    form: 'kl', 'entropy', 'joint' or 'auto'.
    estimator: one of the above.
    num_samples: number of samples of z, at least 1; even for 'disarm', 1 for
      'enumeration', which draws none.
    beta: weight of the divergence; 1 for a bound on log p(x).
    temperature: temperature of the relaxations, above 0, `[]`.
    has_aux: whether `log_likelihood` returns a pair (value, aux).

  Returns:
    `ElboTerms`, each `[]`, in nats; with `has_aux`, a pair of it and
    (z, aux), each with a leading axis of `num_samples`, or of every value of
    z with 'enumeration'.

  Raises:
    ValueError: an unknown form or estimator, or a form or `num_samples` that
      the estimator does not admit; too many values of z to enumerate; a
      `log_likelihood` that returns no scalar.
    TypeError: a missing closed form; a q that the estimator does not admit.

  References:
    Kingma and Welling 2014, Auto-Encoding Variational Bayes, eq. (7) for
    'kl', eq. (6) for 'joint'; Roeder, Wu and Duvenaud 2017, Sticking the
    Landing, eq. (5); Higgins et al. 2017, beta-VAE, eq. (4). `vj.disarm` and
    `vj.gumbel_softmax` cite those of discrete z.

  Examples:
    >>> q = vj.Normal(1.0, 0.0)
    >>> prior = vj.Normal(0.0, 0.0)
    >>> terms = vj.elbo(jax.random.key(0), q, prior, lambda z: 0 * z - 3.0)
    >>> print(terms.log_likelihood, terms.kl, terms.elbo)
    -3.0 0.5 -3.5
  """
  _shapes.assert_rank([beta, temperature], 0)
  _points.check_estimator(estimator, num_samples)
  form = resolve_form(form, estimator, q, prior)
  _points.check_form(estimator, form)
  points = _points.draw(key, q, num_samples, estimator, form, temperature)
  values, aux = points.evaluate(_draws.with_aux(log_likelihood, has_aux))
  log_lik = points.average(values)
  divergence = _divergence(form, q, prior, points)
  if form == 'joint' and estimator == 'score_function':
    # E_q[grad log q] = 0: without it the variance is lower.
    divergence -= jnp.mean(points.factor)
  if estimator == 'stl':
    divergence = first_order_only(divergence, "estimator 'stl'", "'pathwise'")
  terms = ElboTerms(
    log_lik - weigh_divergence(beta, divergence), log_lik, divergence
  )
  return (terms, (points.z, aux)) if has_aux else terms


def resolve_form(
  form: str, estimator: str, q: Distribution, prior: Distribution
) -> str:
  """Returns the form that 'auto' stands for; any other form as it is.

  Raises:
    ValueError: an unknown form.
  """
  if form not in FORMS:
    raise ValueError(f'form is {form!r}: must be one of {FORMS}')
  if form != 'auto':
    return form
  if estimator in ('stl', 'adaptive'):
    return 'joint'
  if has_kl(q, prior):
    return 'kl'
  return 'entropy' if q.has_entropy else 'joint'


def weigh_divergence(beta: ArrayLike, divergence: Array) -> Array:
  """Returns beta times a divergence, 0 at beta = 0 also if it is infinite."""
  # 0 times infinity is nan, such as where q leaves the support of the prior.
  absent = jnp.equal(beta, 0) & jnp.isinf(divergence)
  return jnp.asarray(beta) * jnp.where(absent, 0, divergence)


def mixed_elbo(
  key: Key,
  q: Distribution,
  prior: Distribution,
  log_likelihood: LogDensity,
  *,
  coefficient: ArrayLike,
  num_samples: int = 1,
  beta: ArrayLike = 1.0,
) -> ElboTerms:
  """Estimates the `elbo`, form 'joint', by a combination of two estimators.

  The gradient is (1 - c) times that of 'pathwise' plus c times that of 'stl':
  equal in expectation for every c that is independent of these draws.
  `learned_coefficient` estimates the c of least variance.

  Args:
    key: consumed.
    q: as in `elbo`.
    prior: as in `elbo`.
    log_likelihood: as in `elbo`.
    coefficient: c, `[]`, stop-gradient.
    num_samples: as in `elbo`.
    beta: as in `elbo`.

  Raises:
    ValueError: as `elbo`.
    TypeError: q cannot be reparameterised, or has no inverse.

  References:
    Geffner and Domke 2018, Using Large Ensembles of Control Variates for
    Variational Inference, for the control variate.
  """
  _shapes.assert_rank([coefficient, beta], 0)
  _draws.require_inverse(q, "estimator 'adaptive'")
  z = reparameterise_many(key, q, num_samples)
  density = _draws.scale_parameters(
    q.for_score(), 1 - coefficient, scale_gradient
  )
  values, _ = _draws.evaluate(_draws.with_aux(log_likelihood, False), z)
  log_lik = jnp.mean(values)
  points = _points.Points(z, jax.vmap(density.log_prob)(z))
  divergence = _divergence('joint', q, prior, points)
  divergence = first_order_only(
    divergence, "estimator 'adaptive'", "'pathwise'"
  )
  return ElboTerms(
    log_lik - weigh_divergence(beta, divergence), log_lik, divergence
  )


def posterior_elbo(
  q: Distribution, posterior: Distribution, log_marginal: ArrayLike
) -> Array:
  """Returns the exact bound where the posterior is known.

  log p(x) - KL(q(z|x) || p(z|x)).

  Args:
    q: q(z|x).
    posterior: p(z|x).
    log_marginal: log p(x), `[]`, in nats.

  Returns:
    `[]`, in nats.

  Raises:
    TypeError: the pair has no divergence in closed form.

  References:
    Kingma and Welling 2014, Auto-Encoding Variational Bayes, eq. (1).

  Examples:
    >>> q, posterior = vj.Normal(1.0, 0.0), vj.Normal(0.0, 0.0)
    >>> print(vj.posterior_elbo(q, posterior, -2.0))
    -2.5
  """
  _shapes.assert_rank(log_marginal, 0)
  return jnp.asarray(log_marginal) - kl(q, posterior)


def _divergence(
  form: str, q: Distribution, prior: Distribution, points: _points.Points
) -> Array:
  """Estimates KL(q || prior)."""
  if form == 'kl':
    return kl(q, prior)
  log_prior = jax.vmap(prior.log_prob)(points.z)
  if form == 'entropy':
    return -q.entropy() - points.average(log_prior)
  assert points.log_q is not None
  return points.average(points.log_q - log_prior)
