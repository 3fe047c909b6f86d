"""What a distribution is: an immutable pytree over one event."""

import dataclasses
from typing import Any, ClassVar, Self, TypeVar, dataclass_transform

import jax
import jax.numpy as jnp

from vae_jax.distributions.admission import guard
from vae_jax.types import Array, ArrayLike, Key

ClassT = TypeVar('ClassT', bound=type)


@dataclass_transform(frozen_default=True)
def distribution(cls: ClassT) -> ClassT:
  """Makes `cls` a frozen dataclass and a pytree of its parameters.

  A field with the metadata `{'static': True}` is no parameter.
  """
  # eq=False: comparing arrays has no truth value, identity does.
  frozen: Any = dataclasses.dataclass(frozen=True, eq=False)(cls)
  fields = dataclasses.fields(frozen)
  static = [f.name for f in fields if f.metadata.get('static')]
  names = [f.name for f in fields if f.name not in static]

  def flatten(q: Any) -> Any:
    keys = map(jax.tree_util.GetAttrKey, names)
    children = [getattr(q, name) for name in names]
    return list(zip(keys, children, strict=True)), tuple(
      getattr(q, name) for name in static
    )

  def unflatten(constants: Any, children: Any) -> Any:
    # Past `__post_init__`: a gradient need not pass for parameters.
    q = object.__new__(frozen)
    for name, value in zip(
      names + static, (*children, *constants), strict=True
    ):
      object.__setattr__(q, name, value)
    return q

  jax.tree_util.register_pytree_with_keys(frozen, flatten, unflatten)
  return frozen


class Distribution:
  """A distribution over one event of any shape.

  `log_prob` and `entropy` sum over the event and return `[]`, in nats. A
  family that can be reparameterised draws `z = transform(noise(key))`, where
  `noise` knows no parameter and `transform` is differentiable in all of them.
  A family of one's own needs `shape`, `noise`, `noise_log_prob`, `transform`
  and `inverse`: its density follows by the change of variables.

  Attributes:
    pathwise_parameters: those in which its draws are differentiable; None
      for all.
    score_parameters: those in which E_q[f grad log q] is the gradient, which
      the ends of a moving support are not; None for all.
  """

  pathwise_parameters: ClassVar[tuple[str, ...] | None] = None
  score_parameters: ClassVar[tuple[str, ...] | None] = None

  @property
  def name(self) -> str:
    """What messages call it."""
    return type(self).__name__

  @property
  def shape(self) -> tuple[int, ...]:
    """The shape of one event."""
    raise NotImplementedError

  def noise(self, key: Key) -> Array:
    """Draws eps ~ p(eps), free of parameters."""
    raise no_noise(self)

  def noise_log_prob(self, eps: Array) -> Array:
    """Returns log p(eps), `[]`, in nats."""
    raise no_noise(self)

  def mirror(self, eps: Array) -> Array:
    """Returns the antithetic partner of eps, of the same law."""
    raise TypeError(f'{self.name} has no antithetic noise')

  def transform(self, eps: Array) -> Array:
    """Returns z = g(phi, eps)."""
    raise no_noise(self)

  def inverse(self, z: Array) -> Array:
    """Returns eps with z = g(phi, eps)."""
    raise no_noise(self)

  def draw(self, key: Key) -> Array:
    """Draws one z, differentiable in `pathwise_parameters`."""
    return self.transform(self.noise(key))

  def sample(self, key: Key) -> Array:
    """Draws one event."""
    return self.draw(key)

  def for_pathwise(self) -> Self:
    """Returns itself, what has no pathwise gradient guarded."""
    reason = 'its draws are no differentiable function of it'
    admitted = self.pathwise_parameters
    return guard(self, admitted, 'pathwise gradient', reason)

  def for_score(self) -> Self:
    """Returns itself, what has no score-function gradient guarded."""
    reason = 'it moves the support, and the score knows nothing of its ends'
    admitted = self.score_parameters
    return guard(self, admitted, 'score-function gradient', reason)

  def log_prob(self, z: Array) -> Array:
    """Returns log p(z), `[]`, in nats."""
    return change_of_variables(self, z)

  def entropy(self) -> Array:
    """Returns H[p] = -E[log p(z)], `[]`, in nats."""
    raise _no_closed_form(self, 'entropy', "use form='joint', which samples it")

  def mean(self) -> Array:
    """Returns E[z], of the event's shape; inf or nan where it has none."""
    raise _no_closed_form(self, 'mean', 'average draws of `vj.sample`')

  def variance(self) -> Array:
    """Returns Var[z], of the event's shape; inf or nan where it has none."""
    raise _no_closed_form(self, 'variance', 'average draws of `vj.sample`')


class Elementwise(Distribution):
  """A distribution of independent coordinates, parameters broadcast to them."""

  @property
  def shape(self) -> tuple[int, ...]:
    return jnp.broadcast_shapes(*map(jnp.shape, jax.tree.leaves(self)))

  @property
  def dtype(self) -> Any:
    """Of the draws: floating, and as wide as the parameters."""
    return float_dtype(*jax.tree.leaves(self))


def change_of_variables(q: Distribution, z: Array) -> Array:
  """Returns log p(z) = log p(eps) - log|det dg/deps|, z = g(phi, eps).

  The Jacobian is had by forward differentiation, n columns for an event of n
  numbers: what a family without a closed form gets, and what the closed forms
  are tested against.

  Args:
    q: has `inverse`, `transform` and `noise_log_prob`.
    z: one event, inside the support.

  Returns:
    `[]`, in nats.

  References:
    Kingma and Welling 2014, Auto-Encoding Variational Bayes, section 2.4;
    Papamakarios et al. 2021, Normalizing Flows, eq. (2).
  """
  check_event('z', z, q)
  eps = q.inverse(z)
  size = max(1, eps.size)
  jacobian = jax.jacfwd(q.transform)(eps).reshape(size, size)
  return q.noise_log_prob(eps) - jnp.linalg.slogdet(jacobian)[1]


def no_noise(q: Distribution) -> TypeError:
  """The error of a family that is no z = g(phi, eps) of parameterless eps."""
  name = q.name
  if q.pathwise_parameters == ():
    return TypeError(
      f'{name} is discrete: no z = g(phi, eps) is differentiable in its '
      'parameters, so it can be sampled but not reparameterised: use '
      '`vj.score_function`'
    )
  return TypeError(
    f'{name} has no z = g(phi, eps) with eps ~ p(eps) free of parameters: '
    '`vj.reparameterise` differentiates its draws implicitly'
  )


def _no_closed_form(q: Distribution, what: str, instead: str) -> TypeError:
  return TypeError(f'{q.name} has no closed-form {what}: {instead}')


def event_sum(values: Array) -> Array:
  """Sums over the whole event, in float32 or better, to `[]`."""
  # 784 Bernoulli terms summed in bfloat16 are off by half a nat.
  dtype = jnp.promote_types(values.dtype, jnp.float32)
  return jnp.sum(values, dtype=dtype)


def support(inside: Array, log_prob: Array) -> Array:
  """Returns `log_prob` inside the support and -inf, no density, outside."""
  return jnp.where(inside, log_prob, -jnp.inf)


def off_zero(z: Array) -> Array:
  """Keeps draws off 0, to which float32 rounds and where log z is -inf."""
  return jnp.maximum(z, jnp.finfo(z.dtype).tiny)


def off_ends(z: Array) -> Array:
  """Keeps draws off 0 and 1, where float32 finds no finite density."""
  info = jnp.finfo(z.dtype)
  return jnp.clip(z, info.tiny, 1 - info.eps)


def float_dtype(*parameters: ArrayLike) -> Any:
  """Returns the dtype of draws that these parameters ask for."""
  return jnp.result_type(float, *parameters)


def check_event(name: str, value: ArrayLike, q: Distribution) -> None:
  """Raises `ValueError` unless `value` has the shape of one event of `q`."""
  if jnp.shape(value) != q.shape:
    raise ValueError(
      f'{name} has shape {jnp.shape(value)}, one event of '
      f'{q.name} has shape {q.shape}'
    )
