"""The same VAE as a hand-written JAX program, an epoch in a `scan`."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.lab.benchmark.timing import Call
from experiments.lab.benchmark.workloads import LEARNING_RATE, Workload
from vae_jax.types import Array, Key


def make(workload: Workload, images: np.ndarray) -> Call:
  """Returns a call of many steps."""
  optimizer = optax.adam(LEARNING_RATE)
  size, count = workload.batch_size, workload.num_samples
  activation = {'tanh': jnp.tanh, 'relu': jax.nn.relu}[workload.activation]

  def network(layers: Any, h: Array) -> Array:
    for weights, bias in layers[:-1]:
      h = activation(h @ weights + bias)
    weights, bias = layers[-1]
    return h @ weights + bias

  def loss(params: Any, key: Key, x: Array) -> Array:
    encoder, decoder = params
    mean, log_scale = jnp.split(network(encoder, x), 2, axis=-1)
    eps = jax.random.normal(key, (count, *mean.shape))
    z = mean + jnp.exp(log_scale) * eps
    logits = network(decoder, z)
    log_likelihood = -jnp.sum(
      jax.nn.softplus(jnp.where(x > 0, -logits, logits)), -1
    )
    if count == 1:
      kl = 0.5 * jnp.sum(
        jnp.exp(2 * log_scale) + mean**2 - 1 - 2 * log_scale, -1
      )
      return jnp.mean(kl - log_likelihood[0])
    log_ratio = jnp.sum(0.5 * (eps**2 - z**2) + log_scale, -1)
    log_weights = log_likelihood + log_ratio
    return -jnp.mean(jax.nn.logsumexp(log_weights, axis=0) - jnp.log(count))

  def step(data: Array, carry: Any, index: Array) -> Any:
    params, state, key = carry
    key, pixel_key, loss_key = jax.random.split(key, 3)
    x = binarise(pixel_key, data[index])
    value, gradient = jax.value_and_grad(loss)(params, loss_key, x)
    updates, state = optimizer.update(gradient, state)
    return (optax.apply_updates(params, updates), state, key), value

  params = _init(workload, jax.random.key(0))
  start = (params, optimizer.init(params), jax.random.key(1))
  return scan_call(step, start, images, size)


def _init(workload: Workload, key: Key) -> Any:
  """Draws the layers of encoder and decoder, each weights and biases."""
  sizes = (*workload.encoder_sizes, *workload.decoder_sizes)
  glorot = jax.nn.initializers.glorot_uniform()
  keys = jax.random.split(key, len(sizes))
  layers = [
    (glorot(key, shape), jnp.zeros(shape[1]))
    for key, shape in zip(keys, sizes, strict=True)
  ]
  first = len(workload.encoder_sizes)
  return layers[:first], layers[first:]


def binarise(key: Key, pixels: Array) -> Array:
  """Draws x ~ Bernoulli(pixel / 255), `[B, 784]`."""
  probabilities = pixels.astype(jnp.float32) / 255
  return jax.random.bernoulli(key, probabilities).astype(jnp.float32)


def scan_call(
  step: Callable[[Array, Any, Array], Any],
  start: Any,
  images: np.ndarray,
  size: int,
) -> Call:
  """Returns a call of a `scan` over shuffled batches, its carry donated.

  Args:
    step: `step(data, carry, index) -> (carry, loss)` takes one step.
    start: first carry, a tuple with a key at its end.
    images: 8-bit pixels, `[N, 28, 28, 1]`.
    size: images per step.
  """
  data = jnp.asarray(images.reshape(len(images), -1))
  box = [start]

  def epoch(carry: Any, data: Array, count: int) -> Any:
    *state, key = carry
    key, order_key = jax.random.split(key)
    order = jax.random.permutation(order_key, len(data))
    batches = order[: count * size].reshape(count, size)
    return jax.lax.scan(functools.partial(step, data), (*state, key), batches)

  compiled = jax.jit(epoch, static_argnums=2, donate_argnums=0)

  def call(count: int) -> None:
    box[0], losses = compiled(box[0], data, count)
    jax.block_until_ready(losses)

  return call
