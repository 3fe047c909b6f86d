"""Statistics of the latent variables of a trained model: active units, KL."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.evaluate import chunks
from vae_jax.evaluate.dimensions import (
  kl_sizes,
  kl_terms,
  layers_of,
  moments,
)
from vae_jax.evaluate.information import measure_information
from vae_jax.evaluate.statistics import Estimate, estimate_mean
from vae_jax.models import Inference, LatentModel
from vae_jax.models.quick_jit import quick_jit
from vae_jax.types import Array, Key, Params

# Variance of the posterior mean above which a unit is active: Burda et al.
# 2015, appendix C.
_ACTIVE = 0.01
# KL in nats above which a unit carries information that can be noticed.
_INFORMATIVE = 0.1
_BATCH = 1000


class Latents(NamedTuple):
  """Statistics of q(z|x) over N examples, in nats where they are divergences.

  G is the number of KL terms and D the number of latent dimensions. The parts
  of a dict of latents are concatenated in the sorted order of their names.

  Attributes:
    sizes: dict from the label of each KL term to its number of dimensions, G
      entries that sum to D: 'z[0]', ... for independent dimensions, K each for
      labels, whose moments are those of their one-hot vectors; 'z' for the
      total KL where it does not decompose; of a Chain the same with the names
      of its latents, 'z1[0]', ...
    kl: E_x[KL(q(z_g|x) || p(z_g))], an `Estimate` of `[G]` arrays.
    mean_variance: Var_x[E_q[z_j]], `[D]`.
    scale: E_x of the standard deviation of q(z_j|x), `[D]`.
    means: E_q[z|x], `[N, D]`.
    mutual_information: I(x; z) between z and the index of its example, at most
      log N, an `Estimate`; nan for a posterior without inverse.
    marginal_kl: KL(q(z) || p(z)), q(z) = 1/N sum_n q(z|x_n), an `Estimate`;
      nan for a posterior without inverse, or with a sequential one.
  """

  sizes: dict[str, int]
  kl: Estimate
  mean_variance: np.ndarray
  scale: np.ndarray
  means: np.ndarray
  mutual_information: Estimate
  marginal_kl: Estimate

  @property
  def active(self) -> np.ndarray:
    """Active units, `[D]` bool: `mean_variance` above 0.01."""
    return self.mean_variance > _ACTIVE

  @property
  def active_units(self) -> np.ndarray:
    """Active units, bool; a label is one unit, of K entries in `active`."""
    return self.active_terms if self.has_labels else self.active

  @property
  def has_labels(self) -> bool:
    """True if z are labels, whose moments are those of one-hot vectors."""
    return max(self.sizes.values()) > 1 and 'z[0]' in self.sizes

  @property
  def informative(self) -> int | None:
    """Number of units with more than 0.1 nats of KL; None for a joint KL."""
    if len(self.sizes) != len(self.active_units):
      return None
    return int(np.sum(self.kl.mean > _INFORMATIVE))

  @property
  def layers(self) -> dict[str, slice]:
    """Name -> slice of the D dimensions of a latent of a Chain; else {}."""
    return layers_of(self.sizes)

  def layer(self, name: str) -> 'Latents':
    """Returns the statistics of one latent of a Chain.

    Its information and marginal KL are nan: they are those of all latents.
    """
    own, unknown = self.layers[name], Estimate(math.nan, math.nan)
    labels = [label for label in self.sizes if label.split('[')[0] == name]
    terms = np.isin([*self.sizes], labels)
    return Latents(
      {label: self.sizes[label] for label in labels},
      Estimate(*(x[terms] for x in self.kl)),
      self.mean_variance[own],
      self.scale[own],
      self.means[:, own],
      unknown,
      unknown,
    )

  @property
  def active_terms(self) -> np.ndarray:
    """KL terms with an active unit, `[G]` bool."""
    starts = np.cumsum([0, *self.sizes.values()])[:-1]
    return np.logical_or.reduceat(self.active, starts)


def measure_latents(
  key: Key, model: LatentModel, params: Params, data: Any
) -> Latents:
  """Measures how much information each latent dimension carries about x.

  KL terms and moments are in closed form where there is one. Otherwise the
  moments are those of 100 samples per example, and `mean_variance` is
  corrected for the sampling noise in the means:

    Var_x[m_S] = Var_x[m] + E_x[Var_q[z]] / S.

  Args:
    key: consumed.
    model: any `LatentModel`.
    params: parameters of the model.
    data: pytree of `[N, ...]` arrays; an integer x is cast to float32.

  Returns:
    `Latents`.

  Raises:
    ValueError: no data.

  References:
    Burda, Grosse and Salakhutdinov 2015, appendix C, for active units;
    Hoffman and Johnson 2016, ELBO surgery, eq. (8), for mutual information
    and marginal KL.
  """
  count = chunks.count_examples(data)
  kl_key, pair_key = jax.random.split(key)
  kl, means, scales, noise = _measure_all(kl_key, model, params, data)
  variance = np.var(means, axis=0, dtype=np.float64)
  # The variance over N examples, with divisor N, is low by (N - 1) / N.
  bias = np.mean(noise, axis=0, dtype=np.float64) * (count - 1) / count
  sizes = chunks.describe_model(
    lambda inference: kl_sizes(inference.posterior, inference.prior),
    model,
    params,
    data,
  )
  return Latents(
    sizes,
    estimate_mean(kl),
    np.maximum(variance - bias, 0),
    np.asarray(np.mean(scales, axis=0, dtype=np.float64)),
    means,
    *measure_information(pair_key, model, params, data),
  )


def _measure_all(
  key: Key, model: LatentModel, params: Params, data: Any
) -> tuple[np.ndarray, ...]:
  """Returns what `_measure_one` does, of all examples, `[N, D]`."""
  keys = jax.random.split(key, chunks.count_examples(data))

  def measure(params: Params, keys: Array, data: Any) -> tuple[Array, ...]:
    one = lambda key, example: _measure_one(
      key, chunks.condition(model, params, example)
    )
    return jax.vmap(one)(keys, data)

  compiled = quick_jit(measure)
  parts = []
  for start in range(0, len(keys), _BATCH):
    some = slice(start, start + _BATCH)
    batch = jax.device_put(chunks.take(data, some))
    parts.append(jax.device_get(compiled(params, keys[some], batch)))
  return tuple(np.concatenate(x) for x in zip(*parts, strict=True))


def _measure_one(key: Key, inference: Inference) -> tuple[Array, ...]:
  """Returns the KL terms, `[G]`, and means, scales and noise, `[D]` each."""
  q, moment_key = inference.posterior, None
  if not q.has_moments:
    key, moment_key = jax.random.split(key)
  mean, variance, noise = moments(moment_key, q)
  terms = kl_terms(key, q, inference.prior)
  return terms, mean, jnp.sqrt(variance), noise


def warning(latents: Latents) -> str:
  """Returns a warning if most units are inactive, else ''."""
  active = latents.active_units
  inactive, count = int(np.sum(~active)), len(active)
  # The posterior mean of a single example has no variance.
  if 2 * inactive <= count or len(latents.means) < 2:
    return ''
  return (
    f'warning: {inactive} of {count} latent units are inactive: the variance '
    f'of their posterior mean is below {_ACTIVE}. Try a smaller --latent_dim, '
    '--free_bits or --kl_warmup_epochs.'
  )
