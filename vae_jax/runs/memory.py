"""Lower bound on the memory of a gradient step, checked before it runs."""

import math
from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.data.memory import physical_memory
from vae_jax.distributions import sample
from vae_jax.errors import UserError
from vae_jax.models import LatentModel
from vae_jax.training import init_train_state
from vae_jax.training.optimizer import Optimizer
from vae_jax.types import Example, Key, Params


def check_fits(
  model: LatentModel,
  optimizer: Optimizer,
  example: Example,
  *,
  batch_size: int,
  num_samples: int,
  num_seeds: int = 1,
  ema: float = 0.0,
) -> None:
  """Checks that a gradient step may fit in memory, by tracing shapes only.

  Counted are the parameters and the state of the optimizer, both before and
  after a call of many steps, and the gradient, and for every latent sample of
  a batch z and the parameters of p(x|z). A step needs more: the hidden layers
  are not counted, and of many seeds the gradient and samples of one.

  Args:
    model: any `LatentModel`.
    optimizer: an optax transformation.
    example: `jax.ShapeDtypeStruct` of one x as the model takes it.
    batch_size: examples per step.
    num_samples: latent samples per example.
    num_seeds: models that are trained in one program.
    ema: decay of the moving average of the parameters; 0 for none.

  Raises:
    UserError: the device has less memory.
  """
  key = jax.eval_shape(lambda: jax.random.key(0))
  state = jax.eval_shape(
    lambda key: init_train_state(model.init(key), optimizer, ema=ema), key
  )

  def one_sample(key: Key, params: Params, example: Example) -> Any:
    inference = model.condition(params, example)
    z = sample(key, inference.posterior)
    return z, _arrays(inference.likelihood(z))

  sampled = jax.eval_shape(one_sample, key, state.params, example)
  draws = batch_size * num_samples
  needed = 2 * num_seeds * _bytes(state)
  needed += _bytes(state.params) + draws * _bytes(sampled)
  present = _memory()
  if needed > present:
    count = sum(math.prod(x.shape) for x in jax.tree.leaves(state.params))
    models, fewer = '', ''
    if num_seeds > 1:
      models, fewer = (
        f' in each of {num_seeds} models',
        ', or fewer --num_seeds',
      )
    raise UserError(
      f'memory: got a step of {needed / 2**30:.3g} GiB or more ({count:.3g} '
      f'parameters{models}, {draws} samples of z), expected at most '
      f'{present / 2**30:.3g} GiB. Use smaller --hidden_sizes, --latent_dim, '
      f'--batch_size or --num_samples{fewer}'
    )


def _arrays(tree: Any) -> list[Any]:
  """Returns the arrays of a distribution, which need not be a pytree."""
  return [x for x in jax.tree.leaves(tree) if isinstance(x, jax.Array)]


def _bytes(tree: Any) -> int:
  return sum(
    math.prod(leaf.shape) * leaf.dtype.itemsize
    for leaf in jax.tree.leaves(tree)
  )


def _memory() -> int:
  """Returns the bytes of the device on which steps run."""
  (device,) = jnp.zeros(()).devices()
  limit = (device.memory_stats() or {}).get('bytes_limit')
  return limit or physical_memory()
