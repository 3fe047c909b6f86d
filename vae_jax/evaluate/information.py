"""Mutual information of x and z, and KL(q(z) || p(z)) (ELBO surgery)."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from vae_jax.distributions import Distribution, sample
from vae_jax.evaluate import chunks
from vae_jax.evaluate.statistics import Estimate, estimate_mean
from vae_jax.models import Inference, LatentModel
from vae_jax.models.quick_jit import quick_jit
from vae_jax.types import Array, Example, Key, Latent, Params

_BATCH = 1000
_PAIRS = 2**21


def measure_information(
  key: Key, model: LatentModel, params: Params, data: Any
) -> tuple[Estimate, Estimate]:
  """Estimates I(x; z) and KL(q(z) || p(z)), from one sample per example.

  With q(z) = 1/N sum_n q(z|x_n), they are the means over z_n ~ q(z|x_n) of
  log q(z_n|x_n) - log q(z_n) and log q(z_n) - log p(z_n). Where the prior
  depends on the example, the second has p(z_n|y_n). The sum of both is the
  mean KL of posterior and prior. Costs N^2 densities.

  Args:
    key: consumed.
    model: any `LatentModel`.
    params: parameters of the model.
    data: pytree of `[N, ...]` arrays.

  Returns:
    The two, in nats; (nan, nan) each where the posterior has no inverse, since
    log q(z_n|x_m) is then unknown, or where its inverse is sequential: N^2
    densities of one pass per dimension would take hours.

  References:
    Hoffman and Johnson 2016, ELBO surgery, eq. (8).
  """
  if not chunks.describe_model(_has_fast_inverse, model, params, data):
    return (Estimate(float('nan'), float('nan')),) * 2
  count = chunks.count_examples(data)
  posteriors = _Posteriors(model, params, data)

  def draw(params: Params, keys: Array, data: Any) -> Any:
    def one(key_and_example: tuple[Key, Example]) -> Any:
      key, example = key_and_example
      inference = chunks.condition(model, params, example)
      z = sample(key, inference.posterior)
      log_p = inference.prior.log_prob(z)
      return posteriors.varying(inference.posterior), z, log_p

    return jax.lax.map(one, (keys, data), batch_size=_BATCH)

  varying, z, log_p = quick_jit(draw)(
    params, jax.random.split(key, count), jax.device_put(data)
  )

  def measure(varying: list[Array], z: Latent, log_p: Array) -> Any:
    def one(own: tuple[Latent, Array, Array]) -> tuple[Array, Array]:
      z, log_p, index = own
      log_all = posteriors.log_prob(varying, z)
      log_q = jax.nn.logsumexp(log_all) - jnp.log(count)
      return log_all[index] - log_q, log_q - log_p

    size = ravel_pytree(chunks.take(z, 0))[0].size
    # All N^2 pairs at once would not fit.
    batch = max(1, _PAIRS // (count * size))
    return jax.lax.map(one, (z, log_p, jnp.arange(count)), batch_size=batch)

  information, marginal = jax.device_get(quick_jit(measure)(varying, z, log_p))
  return estimate_mean(information), estimate_mean(marginal)


def _has_fast_inverse(inference: Inference) -> bool:
  q = inference.posterior
  return q.has_inverse and not q.inverse_is_sequential


class _Posteriors:
  """The posteriors of N examples, without copies of what they share.

  The conditionals of a Chain hold network parameters, equal for all examples.
  N copies of them would not fit.
  """

  def __init__(self, model: LatentModel, params: Params, data: Any) -> None:
    encode = lambda params, example: (
      chunks.condition(model, params, example).posterior
    )
    first = jax.device_put(chunks.take(data, 0))
    self._leaves, self._structure = jax.tree.flatten(
      quick_jit(encode)(params, first)
    )
    self._depends = _depends_on_second(encode, params, first)

  def varying(self, q: Distribution) -> list[Array]:
    """Returns the leaves of q that depend on the example."""
    pairs = zip(jax.tree.leaves(q), self._depends, strict=True)
    return [leaf for leaf, depends in pairs if depends]

  def log_prob(self, varying: list[Array], z: Latent) -> Array:
    """Returns log q(z|x_n) for every n, `[N]`."""

    def one(varying: list[Array]) -> Array:
      own = iter(varying)
      pairs = zip(self._leaves, self._depends, strict=True)
      leaves = [next(own) if depends else leaf for leaf, depends in pairs]
      return jax.tree.unflatten(self._structure, leaves).log_prob(z)

    return jax.vmap(one)(varying)


def _depends_on_second(f: Any, first: Any, second: Any) -> np.ndarray:
  """Returns which output leaves of f(first, second) depend on `second`."""
  # It loads Pallas.
  from jax.extend.core import Literal

  jaxpr = jax.make_jaxpr(f)(first, second).jaxpr
  depends = set(jaxpr.invars[len(jax.tree.leaves(first)) :])
  for equation in jaxpr.eqns:
    inputs = [v for v in equation.invars if not isinstance(v, Literal)]
    if depends.intersection(inputs):
      depends.update(equation.outvars)
  return np.array(
    [not isinstance(v, Literal) and v in depends for v in jaxpr.outvars]
  )
