"""Lower bounds on log p(x), for one example; and the one vmap over many."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.config import Config
from vae_jax.distributions import Distribution, kl, reparameterise_many
from vae_jax.estimators import evaluate_scalar
from vae_jax.model import VAE
from vae_jax.types import Array, Key, LogDensity, Params


class ElboTerms(NamedTuple):
  """elbo = log_likelihood - beta * kl, each `[]`, in nats."""

  elbo: Array
  log_likelihood: Array
  kl: Array


class IwElboTerms(NamedTuple):
  """The K-sample bound, `[]`, in nats."""

  iw_elbo: Array


def _kl_closed_form(q: Distribution, prior: Distribution, z: Array) -> Array:
  del z  # Nothing is left to sample.
  return kl(q, prior)


def _kl_entropy(q: Distribution, prior: Distribution, z: Array) -> Array:
  return -q.entropy() - jnp.mean(jax.vmap(prior.log_prob)(z))


def _kl_joint(q: Distribution, prior: Distribution, z: Array) -> Array:
  return jnp.mean(jax.vmap(lambda z: q.log_prob(z) - prior.log_prob(z))(z))


_KL_ESTIMATES = {
  'kl': _kl_closed_form,
  'entropy': _kl_entropy,
  'joint': _kl_joint,
}


def elbo(
  key: Key,
  q: Distribution,
  prior: Distribution,
  log_likelihood: LogDensity,
  *,
  form: str = 'kl',
  num_samples: int = 1,
  beta: float = 1.0,
) -> ElboTerms:
  """Estimates the evidence lower bound of one example.

  log p(x) >= E_q[log p(x|z)] - KL(q || p(z)), the expectation over
  `num_samples` reparameterised draws. The forms are equal in expectation and
  differ in how the divergence is had:

  * 'kl': in closed form;
  * 'entropy': E_q[log p(x,z)] + H[q], the entropy in closed form;
  * 'joint': E_q[log p(x,z) - log q(z)], all of it sampled.

  Args:
    key: consumed.
    q: q(z|x), over an event `[Z]`.
    prior: p(z), over the same event.
    log_likelihood: z -> log p(x|z), `[]`; closes over x and the decoder.
    form: 'kl', 'entropy' or 'joint'.
    num_samples: draws of z, at least 1.
    beta: weight of the divergence; 1 for a bound on log p(x).

  Returns:
    `ElboTerms`, each `[]`, in nats.

  Raises:
    ValueError: an unknown form, `num_samples` below 1, a `log_likelihood`
      that returns no scalar.
    TypeError: form 'kl' where the pair has no closed form.

  References:
    Kingma and Welling 2014, Auto-Encoding Variational Bayes, eq. (7) for
    'kl', eq. (6) for 'joint'; Higgins et al. 2017, beta-VAE, eq. (4).
  """
  if form not in _KL_ESTIMATES:
    raise ValueError(f'form is {form!r}: must be one of {list(_KL_ESTIMATES)}')
  z = reparameterise_many(key, q, num_samples)
  log_lik = jnp.mean(evaluate_scalar(log_likelihood, z))
  divergence = _KL_ESTIMATES[form](q, prior, z)
  return ElboTerms(log_lik - beta * divergence, log_lik, divergence)


def iw_elbo(
  key: Key, q: Distribution, log_joint: LogDensity, *, num_samples: int
) -> Array:
  """Estimates the importance-weighted bound of one example.

  L_K = E[log 1/K sum_k w_k], w_k = p(x, z_k) / q(z_k|x), z_k ~ q(z|x):
  L_1 is the ELBO, and L_K grows with K towards log p(x).

  Args:
    key: consumed.
    q: q(z|x), over an event `[Z]`.
    log_joint: z -> log p(x, z), `[]`; any log-joint, up to a constant.
    num_samples: K, at least 1.

  Returns:
    `[]`, in nats; its gradient is the pathwise one.

  Raises:
    ValueError: `num_samples` below 1, a `log_joint` that returns no scalar.

  References:
    Burda, Grosse and Salakhutdinov 2015, Importance Weighted Autoencoders,
    eq. (8).
  """
  z = reparameterise_many(key, q, num_samples)
  log_w = evaluate_scalar(lambda z: log_joint(z) - q.log_prob(z), z)
  return jax.nn.logsumexp(log_w) - jnp.log(num_samples)


def vae_elbo(
  vae: VAE, key: Key, params: Params, x: Array, **options: Any
) -> ElboTerms:
  """Returns the `elbo` of one x under a VAE; `options` as those of `elbo`."""
  log_likelihood = lambda z: vae.decode(params, z).log_prob(x)
  q, prior = vae.encode(params, x), vae.prior(params)
  return elbo(key, q, prior, log_likelihood, **options)


def vae_log_joint(vae: VAE, params: Params, x: Array) -> LogDensity:
  """Returns z -> log p(x|z) + log p(z)."""
  prior = vae.prior(params)
  return lambda z: vae.decode(params, z).log_prob(x) + prior.log_prob(z)


def vae_iw_elbo(
  vae: VAE, key: Key, params: Params, x: Array, *, num_samples: int
) -> IwElboTerms:
  """Returns the `iw_elbo` of one x under a VAE."""
  q, log_joint = vae.encode(params, x), vae_log_joint(vae, params, x)
  return IwElboTerms(iw_elbo(key, q, log_joint, num_samples=num_samples))


# (key, params, batch) -> (loss, per-example terms)
LossFn = Callable[[Key, Params, Array], tuple[Array, Any]]


def make_loss(config: Config, vae: VAE) -> LossFn:
  """Returns the loss that the flags describe.

  loss(key, params, batch) = -1/B sum_b bound(x_b), each example with a key of
  its own, beside the unreduced terms `[B]`. The vmap over examples is here.
  """
  terms: Callable[..., Any]
  if config.objective == 'iwae':
    terms = functools.partial(vae_iw_elbo, vae, num_samples=config.num_samples)
  else:
    terms = functools.partial(
      vae_elbo,
      vae,
      form=config.form,
      num_samples=config.num_samples,
      beta=config.beta,
    )

  def loss(key: Key, params: Params, batch: Array) -> tuple[Array, Any]:
    keys = jax.random.split(key, len(batch))
    values = jax.vmap(terms, (0, None, 0))(keys, params, batch)
    return -jnp.mean(values[0]), values

  return loss
