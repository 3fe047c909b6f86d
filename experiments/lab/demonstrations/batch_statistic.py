"""Effect of a batch statistic on the NLL, in nats.

A decoder with batch normalisation is evaluated twice at the same parameters:
with the statistics of the training set, where p(x|z) is the density of one x,
and in training mode, where it also depends on the z of the other examples. The
second number is not a likelihood: it moves with the company of an example.
"""

import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.lab.demonstrations.comparison import format_rows
from vae_jax import plots
from vae_jax.distributions import Bernoulli, Normal, kl, reparameterise
from vae_jax.evaluate import check_model
from vae_jax.models import VAE
from vae_jax.runs.save_figure import save_figure
from vae_jax.training import (
  TrainState,
  init_train_state,
  make_optimizer,
  make_train_step,
)
from vae_jax.types import Array, Key, Params

LATENT, HIDDEN, BATCH, NUM_STEPS, NUM_SAMPLES = 16, 128, 100, 1500, 100
# Batches of 100, 10 and 4 leave none of the test digits over.
NUM_TRAIN, NUM_TEST = 1500, 200
_EPSILON = 1e-3

# z of a batch -> logits of p(x|z), `[B, Z]` -> `[B, 64]`.
Decode = Callable[[Array], Array]


class Row(NamedTuple):
  """The NLL of the test digits, computed in one way.

  Attributes:
    batch: what the decoder normalises by.
    nll: mean over the digits, in nats.
    difference: mean difference from the first row, in nats.
    standard_error: standard error of the difference, paired by digit.
    check: verdict of `check_model` on 'batch'.
  """

  batch: str
  nll: float
  difference: float
  standard_error: float
  check: str


class Way(NamedTuple):
  """A way to compute the NLL.

  Attributes:
    batch: what the decoder normalises by, in words.
    decode: z of a batch -> logits of p(x|z).
    order: order in which the digits are cut into batches, `[N]`.
    size: digits of a batch.
    check: verdict of `check_model` on 'batch'.
  """

  batch: str
  decode: Decode
  order: np.ndarray
  size: int
  check: str


def _digits() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Returns binary digits to train and to test, and labels of the latter."""
  from sklearn.datasets import load_digits

  digits = load_digits()
  order = np.random.RandomState(0).permutation(len(digits.target))
  x = (digits.images.reshape(-1, 64)[order] >= 8).astype(np.float32)
  y = digits.target[order]
  test = slice(NUM_TRAIN, NUM_TRAIN + NUM_TEST)
  return x[:NUM_TRAIN], x[test], y[test]


def _init(key: Key) -> Params:
  normal = jax.nn.initializers.glorot_normal()
  keys = jax.random.split(key, 4)
  return {
    'encoder': normal(keys[0], (64, HIDDEN)),
    'heads': normal(keys[1], (HIDDEN, 2 * LATENT)),
    'decoder': normal(keys[2], (LATENT, HIDDEN)),
    'gain': jnp.ones(HIDDEN),
    'shift': jnp.zeros(HIDDEN),
    'output': normal(keys[3], (HIDDEN, 64)),
    'bias': jnp.zeros(64),
  }


def _encode(params: Params, x: Array) -> Normal:
  hidden = jnp.tanh(x @ params['encoder'])
  return Normal(*jnp.split(hidden @ params['heads'], 2))


def _logits(params: Params, hidden: Array, mean: Array, var: Array) -> Array:
  normalised = (hidden - mean) / jnp.sqrt(var + _EPSILON)
  active = jnp.tanh(params['gain'] * normalised + params['shift'])
  return active @ params['output'] + params['bias']


def _in_training_mode(params: Params) -> Decode:
  def decode(z: Array) -> Array:
    hidden = z @ params['decoder']
    statistics = hidden.mean(0), hidden.var(0)
    return jax.vmap(lambda h: _logits(params, h, *statistics))(hidden)

  return decode


def _prior() -> Normal:
  return Normal(jnp.zeros(LATENT), jnp.zeros(LATENT))


def _train(key: Key, x: Array) -> Params:
  def loss(key: Key, params: Params, batch: Array) -> Array:
    q = jax.vmap(lambda x: _encode(params, x))(batch)
    z = jax.vmap(reparameterise)(jax.random.split(key, len(batch)), q)
    terms = jax.vmap(lambda a, x: Bernoulli(a).log_prob(x))(
      _in_training_mode(params)(z), batch
    )
    return jnp.mean(jax.vmap(lambda q: kl(q, _prior()))(q) - terms)

  optimizer = make_optimizer(learning_rate=3e-3)
  train_step = make_train_step(loss, optimizer)

  def step(state: TrainState, key: Key) -> tuple[TrainState, None]:
    row_key, key = jax.random.split(key)
    rows = jax.random.choice(row_key, len(x), (BATCH,), replace=False)
    return train_step(key, state, x[rows])[0], None

  init_key, key = jax.random.split(key)
  start = init_train_state(_init(init_key), optimizer)
  keys = jax.random.split(key, NUM_STEPS)
  params: Params = jax.lax.scan(step, start, keys)[0].params
  return params


def _log_marginals(key: Key, params: Params, decode: Decode, x: Array) -> Array:
  """Returns L_K of each digit of a batch, `[B]`, which is decoded as one."""
  q = jax.vmap(lambda x: _encode(params, x))(x)

  def log_weights(key: Key) -> Array:
    z = jax.vmap(reparameterise)(jax.random.split(key, len(x)), q)
    terms = lambda a, x, z, q: (
      Bernoulli(a).log_prob(x) + _prior().log_prob(z) - q.log_prob(z)
    )
    return jax.vmap(terms)(decode(z), x, z, q)

  found = jax.lax.map(log_weights, jax.random.split(key, NUM_SAMPLES))
  return jax.nn.logsumexp(found, axis=0) - jnp.log(NUM_SAMPLES)


@jax.custom_batching.custom_vmap
def _centred(hidden: Array) -> Array:
  """Normalises by the batch of the `vmap` around it; alone it gives zeros."""
  return hidden - hidden


@_centred.def_vmap
def _(size: int, in_batched: list[bool], hidden: Array) -> tuple[Array, bool]:
  del size, in_batched
  scale = jnp.sqrt(hidden.var(0, keepdims=True) + _EPSILON)
  return (hidden - hidden.mean(0, keepdims=True)) / scale, True


def _verdict(
  key: Key, params: Params, logits: Callable[..., Array], x: np.ndarray
) -> str:
  model = VAE(
    init=_init,
    encode=_encode,
    decode=lambda params, z: Bernoulli(logits(params, z @ params['decoder'])),
    prior=lambda params: _prior(),
  )
  checks = check_model(key, model, params, x)
  return 'passed' if checks[0].passed else 'FAILED'


def measure(key: Key, num_draws: int) -> tuple[Row, ...]:
  """Trains a small VAE and computes its NLL in several batches.

  Args:
    key: consumed.
    num_draws: not used; K is `NUM_SAMPLES`.

  References:
    Ioffe and Szegedy 2015, Batch Normalization, section 3.1: at test time the
    statistics are those of the training set.
  """
  del num_draws
  train, test, labels = _digits()
  train_key, z_key, key, check_key = jax.random.split(key, 4)
  params = jax.jit(_train)(train_key, train)
  q = jax.vmap(lambda x: _encode(params, x))(train)
  z = jax.vmap(reparameterise)(jax.random.split(z_key, len(train)), q)
  hidden = z @ params['decoder']
  fixed = hidden.mean(0), hidden.var(0)
  unit = jnp.zeros(HIDDEN), jnp.full(HIDDEN, 1 - _EPSILON)
  of_one = lambda p, h: _logits(p, h, *fixed)
  # A rule of vmap has no gradient of its own.
  of_batch = lambda p, h: _logits(p, _centred(jax.lax.stop_gradient(h)), *unit)
  # The same key: one model, decoded in two ways.
  passed = _verdict(check_key, params, of_one, test)
  failed = _verdict(jax.random.clone(check_key), params, of_batch, test)

  alone: Decode = jax.vmap(lambda z: of_one(params, z @ params['decoder']))
  decode = _in_training_mode(params)
  as_stored, by_class = np.arange(len(test)), np.argsort(labels, kind='stable')
  ways = [
    Way('the training set', alone, as_stored, BATCH, passed),
    Way('100 test digits', decode, as_stored, 100, failed),
    Way('10 test digits', decode, as_stored, 10, failed),
    Way('4 test digits', decode, as_stored, 4, failed),
    Way('10 test digits, by class', decode, by_class, 10, failed),
  ]
  each = [_nll(key, params, test, way) for way in ways]
  return tuple(
    _compare(way, nll, each[0]) for way, nll in zip(ways, each, strict=True)
  )


def _nll(key: Key, params: Params, test: np.ndarray, way: Way) -> np.ndarray:
  """Returns the NLL of each digit, in its batch."""
  log_marginals = jax.jit(
    lambda key, x: _log_marginals(key, params, way.decode, x)
  )
  nll = np.empty(len(test))
  for start in range(0, len(test), way.size):
    some = way.order[start : start + way.size]
    nll[some] = -log_marginals(jax.random.fold_in(key, start), test[some])
  return nll


def _compare(way: Way, nll: np.ndarray, first: np.ndarray) -> Row:
  difference = nll - first
  error = difference.std(ddof=1) / np.sqrt(len(nll))
  return Row(
    way.batch,
    float(nll.mean()),
    float(difference.mean()),
    float(error),
    way.check,
  )


def table(rows: Sequence[Row]) -> str:
  """Formats the NLL of each batch."""
  return format_rows(
    f'NLL of the same digits and parameters, K = {NUM_SAMPLES}, in nats, by '
    'what the decoder normalises by',
    ('statistics of', 'NLL', 'difference', 's.e.', 'check of the batch'),
    rows,
  )


def draw(path: pathlib.Path, rows: Sequence[Row]) -> pathlib.Path:
  """Plots the differences."""
  figure = plots.intervals(
    'The NLL of a decoder that normalises by its batch',
    [row.batch for row in rows],
    {
      'difference of the NLL in nats': (
        [row.difference for row in rows],
        [row.standard_error for row in rows],
      )
    },
  )
  return save_figure(path, figure)
