"""The numbers of a trained model on the test split, as a table."""

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax import data, logger
from vae_jax.compatibility import BINARY, PIXELS, SUPPORTS
from vae_jax.config import Config
from vae_jax.distributions import kl
from vae_jax.evaluate import (
  bits_per_dimension,
  curve_points,
  estimate_nll_curve,
  evaluation_keys,
  make_evaluate_elbo,
  mean_and_standard_error,
)
from vae_jax.linear_gaussian import (
  is_linear_gaussian,
  maximum_log_likelihood,
  of_vae,
)
from vae_jax.model import VAE
from vae_jax.types import Array, Params

_AT_K = re.compile(r'nll_k(\d+)')


def load_test(config: Config) -> tuple[data.Split, np.ndarray]:
  """Returns the test split as `load_split` does."""
  return load_split(config, 'test')


def load_split(config: Config, name: str) -> tuple[data.Split, np.ndarray]:
  """Returns a split as stored, and as the likelihood takes it.

  Args:
    config: names the set.
    name: 'train', 'validation' or 'test'.

  Raises:
    UserError: no such set, or one that the likelihood does not take.
  """
  if name == 'test':
    split = data.load_test(config.dataset, data_dir=config.data_dir)
  else:
    train, validation = data.load_train(
      config.dataset,
      data_dir=config.data_dir,
      num_validation=config.num_validation,
    )
    split = train if name == 'train' else validation
  return split, _prepare(config, split.images)


def _prepare(config: Config, images: np.ndarray) -> np.ndarray:
  prepare = data.make_prepare(config, images)
  return data.prepare_once(prepare, evaluation_keys().binarise, images)


def measure(
  vae: VAE, params: Params, images: np.ndarray, num_samples: int
) -> dict[str, Any]:
  """Returns the ELBO, its two parts and the NLL of a whole split, in nats."""
  keys = evaluation_keys()
  terms = make_evaluate_elbo(vae)(keys.elbo, params, jnp.asarray(images))
  elbo, elbo_error = mean_and_standard_error(np.asarray(terms.elbo))
  curve = estimate_nll_curve(
    keys.nll,
    vae,
    params,
    images,
    num_samples=curve_points(num_samples),
    progress=lambda chunks: logger.track(f'NLL, K = {num_samples}', chunks),
  )
  *smaller, (_, nll) = curve.at.items()
  steps: dict[str, float] = {}
  for k, at in smaller:
    steps[f'nll_k{k}'] = at.mean
    steps[f'nll_k{k}_standard_error'] = at.standard_error
  return {
    'elbo': elbo,
    'elbo_standard_error': elbo_error,
    'log_likelihood': float(jnp.mean(terms.log_likelihood)),
    'kl': float(jnp.mean(terms.kl)),
    **steps,
    'nll': nll.mean,
    'nll_standard_error': nll.standard_error,
    'nll_num_samples': num_samples,
  }


def nll_curve(metrics: dict[str, Any]) -> dict[int, tuple[float, float]]:
  """Returns K -> NLL and standard error of what `measure` returned."""
  names = {int(m[1]): m[0] for m in map(_AT_K.fullmatch, metrics) if m}
  names[metrics['nll_num_samples']] = 'nll'
  return {
    k: (metrics[name], metrics[f'{name}_standard_error'])
    for k, name in names.items()
  }


def measure_bits(
  config: Config, images: np.ndarray, metrics: dict[str, Any]
) -> dict[str, Any]:
  """Returns the NLL of `metrics` in bits; {} but of 8-bit pixels as such.

  Args:
    config: names the likelihood; one of zeros and ones has no such bits.
    images: the split as stored.
    metrics: with `nll` and `nll_standard_error`, as of `measure`.
  """
  support = SUPPORTS[config.likelihood]
  if support == BINARY or images.dtype != np.uint8:
    return {}
  bits, error = bits_per_dimension(
    metrics['nll'],
    metrics['nll_standard_error'],
    images[0].size,
    dequantised=support != PIXELS,
  )
  return {
    'bits_per_dimension': bits,
    'bits_per_dimension_standard_error': error,
  }


def measure_exact(
  config: Config, vae: VAE, params: Params, examples: np.ndarray
) -> dict[str, Any]:
  """Returns what is known of a linear-Gaussian model; {} of any other.

  log p(x), the ELBO and KL(q(z|x) || p(z|x)) of a whole split in closed form;
  the gap that the sampled ELBO of `measure` leaves to log p(x); the training
  set's log p(x), and the highest that any parameters give it. In nats.
  """
  if not is_linear_gaussian(config):
    return {}
  model = of_vae(config, params)

  def known(x: Array) -> tuple[Array, ...]:
    q, flat = vae.encode(params, x), jnp.ravel(x)
    divergence = kl(q, model.posterior(flat))
    return model.log_marginal(flat), model.elbo(q, flat), divergence

  log_marginal, exact_elbo, divergence = _map(known, examples)
  sampled = make_evaluate_elbo(vae)(
    evaluation_keys().elbo, params, jnp.asarray(examples)
  )
  gap = log_marginal - np.asarray(sampled.elbo, np.float64)
  _, train = load_split(config, 'train')
  flat = train.reshape(len(train), -1)
  return {
    **_with_error('log_marginal', log_marginal),
    'exact_elbo': float(np.mean(exact_elbo)),
    'posterior_kl': float(np.mean(divergence)),
    **_with_error('gap', gap),
    'train_log_marginal': float(np.mean(_map(model.log_marginal, flat))),
    'max_train_log_marginal': maximum_log_likelihood(flat, config.latent_dim),
  }


def _map(f: Callable[[Array], Any], examples: np.ndarray) -> Any:
  """Returns f of every example, in float64 for the means."""
  whole = jax.jit(lambda x: jax.lax.map(f, x, batch_size=1000))
  return jax.tree.map(lambda x: np.asarray(x, np.float64), whole(examples))


def _with_error(name: str, values: np.ndarray) -> dict[str, float]:
  mean, error = mean_and_standard_error(values)
  return {name: mean, f'{name}_standard_error': error}


def rows(metrics: dict[str, Any]) -> list[tuple[str, str]]:
  """Returns the rows of the table that these numbers fill."""
  m = metrics
  table = [
    ('ELBO', nats(m['elbo'], m['elbo_standard_error'])),
    ('= log likelihood', nats(m['log_likelihood'])),
    ('- KL', nats(m['kl'])),
    *((f'NLL, K = {k}', nats(*nll)) for k, nll in nll_curve(m).items()),
  ]
  if 'active_units' in m:
    active = f'{m["active_units"]:6d} of {m["latent_units"]}'
    table.append(('active units', active))
  if 'bits_per_dimension' in m:
    bits = m['bits_per_dimension'], m['bits_per_dimension_standard_error']
    table.append(('bits per dimension', nats(*bits, unit='bits')))
  if 'log_marginal' not in m:
    return table
  exact_gap = m['log_marginal'] - m['exact_elbo']
  error, gap_error = m['log_marginal_standard_error'], m['gap_standard_error']
  return [
    *table,
    ('log p(x)', nats(m['log_marginal'], error)),
    ('log p(x) - ELBO', nats(m['gap'], gap_error, decimals=5)),
    ('log p(x) - exact ELBO', nats(exact_gap, decimals=5)),
    ('KL(q(z|x) || p(z|x))', nats(m['posterior_kl'], decimals=5)),
    ('log p(x) in training', nats(m['train_log_marginal'])),
    ('its maximum', nats(m['max_train_log_marginal'])),
  ]


def nats(
  value: float,
  error: float | None = None,
  *,
  decimals: int = 3,
  unit: str = 'nats',
) -> str:
  """Words a number and its standard error, as tables have them."""
  # The decimal points stand in one column.
  text = f'{value:{decimals + 7}.{decimals}f}'
  spread = '' if error is None else f' +- {error:.{decimals}f}'
  return f'{text}{spread} {unit}'
