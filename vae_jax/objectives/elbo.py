"""The evidence lower bound of one example, in each of its forms."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.distributions import (
  Distribution,
  kl,
  reparameterise_many,
  sample_many,
)
from vae_jax.estimators import (
  evaluate_scalar,
  leave_one_out,
  scale_gradient,
  score_weight,
)
from vae_jax.types import Array, ArrayLike, Key, LogDensity

FORMS = ('kl', 'entropy', 'joint')
ESTIMATORS = ('pathwise', 'stl', 'score_function')

# (values of draws `[N]`) -> an estimate of their expectation, `[]`
Average = Callable[[Array], Array]


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
) -> ElboTerms:
  """Estimates the evidence lower bound of one example.

  log p(x) >= E_q[log p(x|z)] - KL(q || p(z)), the expectation over
  `num_samples` draws. The forms are equal in expectation and differ in how
  the divergence is had:

  * 'kl': in closed form;
  * 'entropy': E_q[log p(x,z)] + H[q], the entropy in closed form;
  * 'joint': E_q[log p(x,z) - log q(z)], all of it sampled.

  The estimators of the gradient in the parameters of q:

  * 'pathwise': z = g(phi, eps), all of it differentiated;
  * 'stl', sticking the landing, of the form 'joint': phi inside log q(z) is
    held, which drops a term of mean 0; no noise is left where q is the
    posterior;
  * 'score_function': for any q, also a discrete one; the draws leave one out
    of their baseline where there are 2 or more.

  The gradient in what log p(x,z) closes over comes with it.

  Args:
    key: consumed.
    q: q(z|x), over an event `[Z]`.
    prior: p(z), over the same event.
    log_likelihood: z -> log p(x|z), `[]`; closes over x and the decoder.
    form: 'kl', 'entropy' or 'joint'.
    estimator: 'pathwise', 'stl' or 'score_function'.
    num_samples: draws of z, at least 1.
    beta: weight of the divergence; 1 for a bound on log p(x).

  Returns:
    `ElboTerms`, each `[]`, in nats.

  Raises:
    ValueError: an unknown form or estimator, 'stl' with a form other than
      'joint', `num_samples` below 1, a `log_likelihood` that returns no
      scalar.
    TypeError: a closed form that there is not; a q that the estimator does
      not serve.

  References:
    Kingma and Welling 2014, Auto-Encoding Variational Bayes, eq. (7) for
    'kl', eq. (6) for 'joint'; Roeder, Wu and Duvenaud 2017, Sticking the
    Landing, eq. (5); Higgins et al. 2017, beta-VAE, eq. (4).
  """
  if estimator not in ESTIMATORS:
    raise ValueError(f'estimator is {estimator!r}: must be one of {ESTIMATORS}')
  if estimator == 'stl' and form != 'joint':
    raise ValueError(
      f"estimator is 'stl' and form {form!r}: must be 'joint', a closed form "
      'has no log q(z) to hold'
    )
  z, average = _draw(key, q, num_samples, estimator)
  # Of the score function too, whose term it is that is left out.
  density = q if estimator == 'pathwise' else jax.lax.stop_gradient(q)
  log_lik = average(evaluate_scalar(log_likelihood, z))
  divergence = _divergence(form, q, density, prior, z, average)
  return ElboTerms(log_lik - beta * divergence, log_lik, divergence)


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
  """Estimates the `elbo`, form 'joint', by a mixture of two estimators.

  Its gradient is (1 - c) times that of 'pathwise' plus c times that of 'stl',
  in expectation the same for every c that does not depend on these draws;
  `learned_coefficient` estimates the one of least variance.

  Args:
    key: consumed.
    q: as in `elbo`.
    prior: as in `elbo`.
    log_likelihood: as in `elbo`.
    coefficient: c, `[]`, never differentiated.
    num_samples: as in `elbo`.
    beta: as in `elbo`.

  References:
    Geffner and Domke 2018, Using Large Ensembles of Control Variates for
    Variational Inference, for the control variate.
  """
  z = reparameterise_many(key, q, num_samples)
  density = jax.tree.map(lambda p: scale_gradient(p, 1 - coefficient), q)
  log_lik = jnp.mean(evaluate_scalar(log_likelihood, z))
  divergence = _divergence('joint', q, density, prior, z, jnp.mean)
  return ElboTerms(log_lik - beta * divergence, log_lik, divergence)


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
  """
  return jnp.asarray(log_marginal) - kl(q, posterior)


def _draw(
  key: Key, q: Distribution, num_samples: int, estimator: str
) -> tuple[Array, Average]:
  """Draws z, `[N, *event]`, and returns how to average over the draws."""
  if estimator != 'score_function':
    return reparameterise_many(key, q, num_samples), jnp.mean
  z = sample_many(key, q, num_samples)
  # A factor of 1, whose gradient is that of log q.
  factor = score_weight(q, z) - 1

  def average(values: Array) -> Array:
    baseline = leave_one_out(values) if num_samples > 1 else 0.0
    signal = values - jax.lax.stop_gradient(baseline)
    return jnp.mean(values + signal * factor)

  return z, average


def _divergence(
  form: str,
  q: Distribution,
  density: Distribution,
  prior: Distribution,
  z: Array,
  average: Average,
) -> Array:
  """Estimates KL(q || prior); `density` is q, whatever of it is held."""
  if form not in FORMS:
    raise ValueError(f'form is {form!r}: must be one of {FORMS}')
  if form == 'kl':
    return kl(q, prior)
  log_prior = jax.vmap(prior.log_prob)(z)
  if form == 'entropy':
    return -q.entropy() - average(log_prior)
  return average(jax.vmap(density.log_prob)(z) - log_prior)
