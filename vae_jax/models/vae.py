"""Variational autoencoders as tuples of pure functions."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.distributions import Distribution
from vae_jax.models.inference import Inference, as_float
from vae_jax.types import Array, Key, Latent, Params


class VAE(NamedTuple):
  """p(x|z) p(z) and q(z|x), for one example; any functions will do.

  Attributes:
    init: `init(key) -> params`, any pytree.
    encode: `encode(params, x) -> q(z|x)`.
    decode: `decode(params, z) -> p(x|z)`.
    prior: `prior(params) -> p(z)`.

  References:
    Kingma and Welling 2014, Auto-Encoding Variational Bayes, section 2.
  """

  init: Callable[[Key], Params]
  encode: Callable[[Params, Array], Distribution]
  decode: Callable[[Params, Latent], Distribution]
  prior: Callable[[Params], Distribution]

  def condition(self, params: Params, example: Array) -> Inference:
    """Returns q(z|x), p(z), p(x|z) and x of one example x."""
    return Inference(
      posterior=self.encode(params, example),
      prior=self.prior(params),
      likelihood=lambda z: self.decode(params, z),
      x=example,
    )


class ConditionalVAE(NamedTuple):
  """p(x|z, y) p(z|y) and q(z|x, y), for one example `{'x': x, 'y': y}`.

  Attributes:
    init: `init(key) -> params`, any pytree.
    encode: `encode(params, x, y) -> q(z|x, y)`.
    decode: `decode(params, z, y) -> p(x|z, y)`.
    prior: `prior(params, y) -> p(z|y)`.

  References:
    Sohn, Lee and Yan 2015, Learning Structured Output Representation using
    Deep Conditional Generative Models, section 3.
  """

  init: Callable[[Key], Params]
  encode: Callable[[Params, Array, Array], Distribution]
  decode: Callable[[Params, Latent, Array], Distribution]
  prior: Callable[[Params, Array], Distribution]

  def condition(
    self, params: Params, example: Mapping[str, Array]
  ) -> Inference:
    """Returns q(z|x, y), p(z|y), p(x|z, y) and x of one example."""
    x, y = example['x'], example['y']
    return Inference(
      posterior=self.encode(params, x, y),
      prior=self.prior(params, y),
      likelihood=lambda z: self.decode(params, z, y),
      x=x,
    )


class SizeFactorVAE(NamedTuple):
  """p(x|z, s) p(z) and q(z|x), s an observed size factor, such as sum_j x_j.

  s is a covariate, computed from x but not modelled: every log p(x) is
  log p(x|s), the density at the given s, summed over all x and not only over
  those of this size. An example is x, or `{'x': x, 'size': s}` for an x of
  another size, as one simulated from p(x|z, s).

  Attributes:
    init: `init(key) -> params`, any pytree.
    encode: `encode(params, x) -> q(z|x)`.
    decode: `decode(params, z, s) -> p(x|z, s)`.
    prior: `prior(params) -> p(z)`.
    size: `size(x) -> s`, `[]`.

  References:
    Lopez et al. 2018, Deep Generative Modeling for Single-cell
    Transcriptomics; observed library sizes are those of scvi-tools.
  """

  init: Callable[[Key], Params]
  encode: Callable[[Params, Array], Distribution]
  decode: Callable[[Params, Latent, Array], Distribution]
  prior: Callable[[Params], Distribution]
  size: Callable[[Array], Array]

  def condition(
    self, params: Params, example: Array | Mapping[str, Array]
  ) -> Inference:
    """Returns q(z|x), p(z), p(x|z, s) and x of one example."""
    if isinstance(example, Mapping):
      x, s = example['x'], example['size']
    else:
      x, s = example, self.size(example)
    return Inference(
      posterior=self.encode(params, x),
      prior=self.prior(params),
      likelihood=lambda z: self.decode(params, z, s),
      x=x,
    )

  def with_sizes(self, data: Any) -> Any:
    """Returns examples `[N, ...]` as a dict of x and their sizes, `[N]`."""
    if isinstance(data, Mapping):
      return data
    x = jnp.asarray(data)
    return {'x': x, 'size': jax.vmap(lambda x: self.size(as_float(x)))(x)}


def with_sizes(model: Any, data: Any) -> Any:
  """Returns examples with their sizes for a `SizeFactorVAE`, else `data`.

  Where a simulated x replaces that of an example, the size it was drawn at
  stays, which differs from the size of the simulated x.
  """
  return model.with_sizes(data) if isinstance(model, SizeFactorVAE) else data
