"""The same VAE as a NumPyro model and guide, trained by SVI in a `scan`."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from flax import linen as nn
from numpyro import distributions as dist
from numpyro.contrib.module import flax_module
from numpyro.infer import SVI, RenyiELBO, TraceMeanField_ELBO

from experiments.lab.benchmark.plain_jax import binarise, scan_call
from experiments.lab.benchmark.timing import Call
from experiments.lab.benchmark.workloads import (
  LEARNING_RATE,
  PIXELS,
  Workload,
)
from vae_jax.types import Array


class _Network(nn.Module):
  sizes: tuple[int, ...]
  activation: str

  @nn.compact
  def __call__(self, h: Array) -> Array:
    *hidden, last = self.sizes
    for size in hidden:
      h = getattr(nn, self.activation)(nn.Dense(size)(h))
    return nn.Dense(last)(h)


def make(workload: Workload, images: np.ndarray) -> Call:
  """Returns a call of many steps."""
  outputs = lambda layers: tuple(size for _, size in layers)
  encoder = _Network(outputs(workload.encoder_sizes), workload.activation)
  decoder = _Network(outputs(workload.decoder_sizes), workload.activation)

  def model(x: Array) -> None:
    decode = flax_module(
      'decoder', decoder, input_shape=(1, workload.latent_dim)
    )
    with numpyro.plate('batch', len(x)):
      shape = (workload.latent_dim,)
      prior = dist.Normal(jnp.zeros(shape), jnp.ones(shape)).to_event(1)
      z = numpyro.sample('z', prior)
      likelihood = dist.Bernoulli(logits=decode(z)).to_event(1)
      numpyro.sample('x', likelihood, obs=x)

  def guide(x: Array) -> None:
    encode = flax_module('encoder', encoder, input_shape=(1, PIXELS))
    mean, log_scale = jnp.split(encode(x), 2, axis=-1)
    with numpyro.plate('batch', len(x)):
      q = dist.Normal(mean, jnp.exp(log_scale)).to_event(1)
      numpyro.sample('z', q)

  count, size = workload.num_samples, workload.batch_size
  bound = TraceMeanField_ELBO() if count == 1 else RenyiELBO(0, count)
  svi = SVI(model, guide, numpyro.optim.Adam(LEARNING_RATE), bound)
  first = jnp.zeros((size, PIXELS))

  def step(data: Array, carry: Any, index: Array) -> Any:
    state, key = carry
    key, pixel_key = jax.random.split(key)
    state, loss = svi.update(state, binarise(pixel_key, data[index]))
    return (state, key), loss

  start = (svi.init(jax.random.key(0), first), jax.random.key(1))
  return scan_call(step, start, images, size)
