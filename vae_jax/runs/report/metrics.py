"""Metrics of a trained model on one split, as nested estimates."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from vae_jax.evaluate import (
  Estimate,
  NllCurve,
  bits_per_dimension,
  curve_points,
  estimate_mean,
  evaluation_keys,
  make_evaluate_elbo,
  make_nll_curve,
)
from vae_jax.io import logger
from vae_jax.models import LIKELIHOODS, LatentModel
from vae_jax.models.supports import BINARY, PIXELS
from vae_jax.objectives import ElboTerms
from vae_jax.runs.config import Config
from vae_jax.types import Key, Params

# Name -> number, `Estimate` or nested metrics, as `logger.flatten` takes them.
Metrics = dict[str, Any]

_AT_K = re.compile(r'nll_k(\d+)')


class Measured(NamedTuple):
  """Metrics of a split, and the numbers of each of its examples.

  Attributes:
    metrics: means over the split.
    per_example: name -> `[N]`, in nats, in the order of the split.
  """

  metrics: Metrics
  per_example: dict[str, np.ndarray]


class Evaluators(NamedTuple):
  """Compiled measurements of a model, for the parameters of any checkpoint.

  Attributes:
    elbo: `elbo(key, params, x)`, as `make_evaluate_elbo` makes it.
    nll_curve: `nll_curve(key, params, x, ...)`, as `make_nll_curve`.
  """

  elbo: Callable[[Key, Params, Any], ElboTerms]
  nll_curve: Callable[..., NllCurve]


def make_evaluators(model: LatentModel, mesh: Mesh | None = None) -> Evaluators:
  """Makes the measurements of a model; each is compiled once.

  Args:
    model: any `LatentModel`.
    mesh: devices over which the examples are sharded; None for one.
  """
  return Evaluators(
    make_evaluate_elbo(model, mesh), make_nll_curve(model, mesh)
  )


def measure(
  evaluators: Evaluators, params: Params, x: Any, num_samples: int
) -> Measured:
  """Estimates the ELBO, its two terms and the NLL of a whole split, in nats.

  Args:
    evaluators: measurements of the model.
    params: its parameters.
    x: preprocessed examples, a pytree of `[N, ...]` arrays.
    num_samples: K of the NLL; smaller K are estimated from the same samples.

  Returns:
    Metrics `elbo`, `log_likelihood`, `kl`, `nll_k1` and so on for smaller K,
    `nll` and `nll_num_samples`; and per example all but the last.
  """
  keys = evaluation_keys()
  terms = evaluators.elbo(keys.elbo, params, jax.device_put(x))
  curve = evaluators.nll_curve(
    keys.nll,
    params,
    x,
    num_samples=curve_points(num_samples),
    progress=lambda chunks: logger.track(f'NLL, K = {num_samples}', chunks),
  )
  names = {k: f'nll_k{k}' for k in curve.at} | {num_samples: 'nll'}
  metrics = {
    'elbo': estimate_mean(terms.elbo),
    'log_likelihood': float(jnp.mean(terms.log_likelihood)),
    'kl': float(jnp.mean(terms.kl)),
    **{
      names[k]: Estimate(at.mean, at.standard_error)
      for k, at in curve.at.items()
    },
    'nll_num_samples': num_samples,
  }
  per_example = terms._asdict()
  per_example |= {names[k]: at.per_example for k, at in curve.at.items()}
  return Measured(metrics, jax.tree.map(np.asarray, per_example))


def nll_curve(metrics: Metrics) -> dict[int, Estimate]:
  """Returns K -> NLL of what `measure` returned, for increasing K."""
  names = {int(m[1]): m[0] for m in map(_AT_K.fullmatch, metrics) if m}
  names[metrics['nll_num_samples']] = 'nll'
  return {k: metrics[name] for k, name in names.items()}


def measure_bits(config: Config, stored: np.ndarray, nll: Estimate) -> Metrics:
  """Converts the NLL of 8-bit pixels to bits per dimension.

  Args:
    config: names the likelihood.
    stored: the split as stored, `[N, ...]`.
    nll: NLL in nats.

  Returns:
    `bits_per_dimension`; {} for binarised pixels and for real numbers, which
    are not a code for 8-bit pixels.
  """
  support = LIKELIHOODS[config.model.likelihood].support
  if support == BINARY or stored.dtype != np.uint8:
    return {}
  if config.data.missing == 'mask':
    return {}  # The number of observed pixels differs between images.
  size = int(np.prod(stored.shape[1:]))
  bits = bits_per_dimension(nll, size, dequantised=support != PIXELS)
  return {'bits_per_dimension': bits}
