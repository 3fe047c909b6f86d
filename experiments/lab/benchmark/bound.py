"""The matrix products of a step and nothing else: no program is faster."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.lab.benchmark.timing import Call
from experiments.lab.benchmark.workloads import Workload
from vae_jax.types import Array


def make(workload: Workload, images: np.ndarray) -> Call:
  """Returns a call of many steps: each layer forward and backward.

  A step multiplies h W, h' g and g W' in each layer, the last not in the first
  layer of the encoder, which needs no gradient with respect to the pixels.
  """
  random = np.random.RandomState(0)
  draw = lambda shape: jnp.asarray(
    random.standard_normal(shape) / np.sqrt(shape[0]), jnp.float32
  )
  encoder = [draw(shape) for shape in workload.encoder_sizes]
  decoder = [draw(shape) for shape in workload.decoder_sizes]
  size = workload.batch_size
  batches = jnp.asarray(images.reshape(-1, size, images[0].size), jnp.float32)
  copies = workload.num_samples

  def one(i: Array, total: Array) -> Array:
    x = batches[i]
    outputs, total = _multiply(encoder, x, total, first=True)
    z = jnp.tile(outputs[:, : workload.latent_dim], (copies, 1))
    _, total = _multiply(decoder, z, total, first=False)
    return total

  @jax.jit
  def steps(count: int) -> Array:
    return jax.lax.fori_loop(0, count, one, jnp.zeros(()))

  return lambda count: jax.block_until_ready(steps(count))


def _multiply(
  layers: list[Array], h: Array, total: Array, *, first: bool
) -> tuple[Array, Array]:
  """Runs layers forward and backward; returns outputs and a sum to keep."""
  inputs = []
  for weights in layers:
    inputs.append(h)
    h = h @ weights
  outputs = g = h
  for number, (h, weights) in reversed(
    list(enumerate(zip(inputs, layers, strict=True)))
  ):
    # Without the barrier XLA would compute one entry of the product only.
    total += jax.lax.optimization_barrier(h.T @ g)[0, 0]
    if number or not first:
      g = g @ weights.T
  return outputs, total + jax.lax.optimization_barrier(g)[0, 0]
