"""What a distribution is: an immutable pytree over one event."""

import dataclasses
from typing import Any, TypeVar, dataclass_transform

import jax
import jax.numpy as jnp

from vae_jax.types import Array, ArrayLike, Key

ClassT = TypeVar('ClassT', bound=type)


@dataclass_transform(frozen_default=True)
def distribution(cls: ClassT) -> ClassT:
  """Makes `cls` a frozen dataclass and a pytree of its parameters."""
  # eq=False: comparing arrays has no truth value, identity does.
  frozen: Any = dataclasses.dataclass(frozen=True, eq=False)(cls)
  names = [field.name for field in dataclasses.fields(frozen)]
  return jax.tree_util.register_dataclass(
    frozen, data_fields=names, meta_fields=[]
  )


class Distribution:
  """A distribution over one event of any shape.

  `log_prob` and `entropy` sum over the event and return `[]`, in nats. A
  location-scale family draws `z = transform(noise(key))`, where `noise` knows
  no parameter and `transform` is differentiable in all of them.
  """

  @property
  def shape(self) -> tuple[int, ...]:
    """The shape of one event."""
    raise NotImplementedError

  def noise(self, key: Key) -> Array:
    """Draws eps ~ p(eps), free of parameters."""
    raise _not_reparameterisable(self)

  def transform(self, eps: Array) -> Array:
    """Returns z = g(phi, eps)."""
    raise _not_reparameterisable(self)

  def inverse(self, z: Array) -> Array:
    """Returns eps with z = g(phi, eps)."""
    raise _not_reparameterisable(self)

  def sample(self, key: Key) -> Array:
    """Draws one event."""
    return self.transform(self.noise(key))

  def log_prob(self, z: Array) -> Array:
    """Returns log p(z), `[]`, in nats."""
    raise NotImplementedError

  def entropy(self) -> Array:
    """Returns H[p] = -E[log p(z)], `[]`, in nats."""
    raise NotImplementedError

  def mean(self) -> Array:
    """Returns E[z], of the event's shape."""
    raise NotImplementedError


def _not_reparameterisable(q: Distribution) -> TypeError:
  return TypeError(
    f'{type(q).__name__} is discrete: no z = g(phi, eps) is differentiable in '
    'its parameters, so it can be sampled but not reparameterised'
  )


def reparameterise(key: Key, q: Distribution) -> Array:
  """Draws z = g(phi, eps), eps ~ p(eps), differentiable in phi.

  Args:
    key: consumed.
    q: the distribution whose parameters are phi.

  Returns:
    z, of the event's shape.

  Raises:
    TypeError: `q` has no such g.

  References:
    Kingma and Welling 2014, Auto-Encoding Variational Bayes, eq. (4).
  """
  return q.transform(q.noise(key))


def reparameterise_many(key: Key, q: Distribution, num_samples: int) -> Array:
  """Draws `num_samples` independent z, `[num_samples, *event]`.

  Raises:
    ValueError: `num_samples` is below 1.
    TypeError: as `reparameterise`.
  """
  if num_samples < 1:
    raise ValueError(f'num_samples is {num_samples}: must be at least 1')
  keys = jax.random.split(key, num_samples)
  return jax.vmap(reparameterise, (0, None))(keys, q)


def sample(key: Key, q: Distribution) -> Array:
  """Draws one event that no gradient passes through."""
  return jax.lax.stop_gradient(q.sample(key))


def event_sum(values: Array) -> Array:
  """Sums over the whole event, in float32 or better, to `[]`."""
  # 784 Bernoulli terms summed in bfloat16 are off by half a nat.
  dtype = jnp.promote_types(values.dtype, jnp.float32)
  return jnp.sum(values, dtype=dtype)


def broadcast_shape(*parameters: ArrayLike) -> tuple[int, ...]:
  """Returns the event shape that elementwise parameters agree on."""
  return jnp.broadcast_shapes(*map(jnp.shape, parameters))


def check_event(name: str, value: ArrayLike, q: Distribution) -> None:
  """Raises `ValueError` unless `value` has the shape of one event of `q`."""
  if jnp.shape(value) != q.shape:
    raise ValueError(
      f'{name} has shape {jnp.shape(value)}, one event of '
      f'{type(q).__name__} has shape {q.shape}'
    )
