"""Closed-form metrics of a linear-Gaussian run."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax import data
from vae_jax.distributions import kl
from vae_jax.evaluate import estimate_mean
from vae_jax.models import LatentModel, LinearGaussian
from vae_jax.models.linear_gaussian import maximum_log_likelihood
from vae_jax.models.quick_jit import quick_jit
from vae_jax.runs import splits, standardise
from vae_jax.runs.config import Config
from vae_jax.runs.report.metrics import Metrics
from vae_jax.runs.standardise import Statistics
from vae_jax.types import Array, Params


def is_linear_gaussian(options: Any) -> bool:
  """Returns whether the model is a `LinearGaussian` with a Gaussian q(z|x).

  Args:
    options: the part `model` of a config.
  """
  families = options.likelihood, options.prior, options.posterior
  is_linear = options.network in ('mlp', 'gated_mlp')
  is_linear &= not (options.hidden_sizes or options.latent_dims)
  return families == ('normal',) * 3 and is_linear


def linear_gaussian_of(options: Any, params: Params) -> LinearGaussian:
  """Reads the `LinearGaussian`, of flat x, from the parameters of its VAE.

  Args:
    options: the part `model` of a config.
    params: as `make_vae(options, ...)` makes them.

  Raises:
    ValueError: the options describe another model.
  """
  if not is_linear_gaussian(options):
    raise ValueError(
      'the VAE is not linear-Gaussian: it takes hidden_sizes=(), no '
      "latent_dims, likelihood='normal', prior='normal' and posterior='normal'"
    )
  decoder, output = params['decoder'], params['decoder']['output']
  weights, loc = output['kernel'].T, output['bias']
  return LinearGaussian(weights, loc, decoder['log_scale'])


def measure_exact(
  config: Config,
  model: LatentModel,
  params: Params,
  x: np.ndarray,
  elbo: np.ndarray,
  statistics: Statistics | None = None,
) -> Metrics:
  """Computes log p(x), the ELBO and the gap of a linear-Gaussian model.

  Args:
    config: options of the run, whose training split is loaded.
    model: the model made from them.
    params: its parameters.
    x: preprocessed examples, `[N, ...]`.
    elbo: sampled ELBO of each example, of `measure`, `[N]`.
    statistics: recorded statistics of a run that standardises its data.

  Returns:
    In nats: `log_marginal`, `exact_elbo`, `posterior_kl` = KL(q(z|x) ||
    p(z|x)), the `gap` between log p(x) and the sampled ELBO of `measure`,
    `train_log_marginal`, and its maximum over all parameters
    `max_train_log_marginal`, unless the training split exceeds a quarter of
    the memory. {} for every other model, with a condition
    and with missing data.
  """
  alone = (config.data.condition, config.data.missing) == ('none', 'refuse')
  if not (alone and is_linear_gaussian(config.model)):
    return {}
  truth = linear_gaussian_of(config.model, params)

  def exact(x: Array) -> tuple[Array, ...]:
    q, flat = model.condition(params, x).posterior, jnp.ravel(x)
    divergence = kl(q, truth.posterior(flat))
    return truth.log_marginal(flat), truth.elbo(q, flat), divergence

  log_marginal, exact_elbo, divergence = _map(exact, x)
  return {
    'log_marginal': estimate_mean(log_marginal),
    'exact_elbo': float(np.mean(exact_elbo)),
    'posterior_kl': float(np.mean(divergence)),
    'gap': estimate_mean(log_marginal - np.asarray(elbo, np.float64)),
    **_measure_train(config, truth, statistics),
  }


def _measure_train(
  config: Config, truth: LinearGaussian, statistics: Statistics | None
) -> Metrics:
  """Returns the metrics of the training split; {} if it is too large."""
  stored, _ = splits.load_train(config)
  if data.is_streamed('auto', stored.x.nbytes):
    return {}
  rows = standardise.apply(statistics, data.in_memory('train', stored))
  x = splits.preprocess(config, rows.x)
  flat = x.reshape(len(x), -1)
  return {
    'train_log_marginal': float(np.mean(_map(truth.log_marginal, flat))),
    'max_train_log_marginal': maximum_log_likelihood(
      flat, config.model.latent_dim
    ),
  }


def _map(f: Callable[[Array], Any], x: np.ndarray) -> Any:
  """Returns f of every example, in float64 for the means."""
  whole = quick_jit(lambda x: jax.lax.map(f, x, batch_size=1000))
  return jax.tree.map(lambda x: np.asarray(x, np.float64), whole(x))
