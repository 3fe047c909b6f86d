"""The distribution interface: an immutable pytree over one event."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Self, TypeAlias, TypeVar, dataclass_transform

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from vae_jax.distributions._missing import no_closed_form, no_noise
from vae_jax.distributions._numerics import float_dtype
from vae_jax.distributions.differentiability import admit_gradients
from vae_jax.distributions.domain import check_on_use, prepare_parameters
from vae_jax.distributions.logged_draw import plain
from vae_jax.distributions.support import Support
from vae_jax.types import Array, ArrayLike, Key

ClassT = TypeVar('ClassT', bound=type)

# One array, or a dict of events by name.
Event: TypeAlias = Any


@dataclass_transform(frozen_default=True)
def distribution(cls: ClassT) -> ClassT:
  """Registers `cls` as a frozen dataclass and a pytree of its parameters.

  A field with the metadata `{'static': True}` is not a parameter. A list for a
  field of type `Array` or `ArrayLike` becomes an array.
  """
  own = getattr(cls, '__post_init__', lambda self: None)
  both = lambda self: own(prepare_parameters(self))
  setattr(cls, '__post_init__', both)  # noqa: B010
  # eq=False: arrays compare elementwise, so instances compare by identity.
  frozen: Any = dataclasses.dataclass(frozen=True, eq=False)(cls)
  check_on_use(frozen, Distribution)
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
    # Skips `__post_init__`: gradients are not valid parameters. The methods
    # check them.
    q = object.__new__(frozen)
    for name, value in zip(
      names + static, (*children, *constants), strict=True
    ):
      object.__setattr__(q, name, value)
    return q

  jax.tree_util.register_pytree_with_keys(frozen, flatten, unflatten)
  return frozen


class Distribution:
  """A distribution over one event: an array, or a dict of arrays by name.

  `log_prob` and `entropy` sum over the event and return `[]`, in nats. A
  reparameterised family draws `z = transform(noise(key))`, where `noise` is
  independent of the parameters and `transform` differentiable in all of them.

  A user's family defines `shape` and one of:

  * `noise`, `noise_log_prob`, `transform` and `inverse`: `log_prob` follows
    by the change of variables;
  * `draw` and `log_prob`;
  * `draw_and_log_prob`, for a flow whose density is known for its own draws
    only: `has_inverse` is then False.

  Attributes:
    pathwise_parameters: names of the parameters in which draws are
      differentiable; None for all.
    score_parameters: names of the parameters whose score-function gradient
      E_q[f grad log q] is unbiased, which excludes the ends of the support;
      None for all.
    lower_bounds: pairs of a parameter and the number or parameter that it must
      exceed; the constructor refuses others, or makes them nan where traced.
      The methods do so for parameters that a pytree operation has changed.
    finite_parameters: names of the parameters that may not be infinite, checked
      likewise.
    is_independent: True if the dimensions are independent.
    family_parameters: names of the parameters that choose the family, such as
      degrees of freedom: a fit of the other parameters holds them fixed.
  """

  pathwise_parameters: ClassVar[tuple[str, ...] | None] = None
  score_parameters: ClassVar[tuple[str, ...] | None] = None
  lower_bounds: ClassVar[tuple[tuple[str, float | str], ...]] = ()
  finite_parameters: ClassVar[tuple[str, ...]] = ()
  is_independent: ClassVar[bool] = False
  family_parameters: ClassVar[tuple[str, ...]] = ()

  @property
  def name(self) -> str:
    """Name of the distribution in messages."""
    return type(self).__name__

  @property
  def shape(self) -> Any:
    """Shape of one event; for a dict of events a dict of shapes."""
    raise NotImplementedError

  @property
  def has_entropy(self) -> bool:
    """True if `entropy` has a closed form."""
    return _overrides(self, 'entropy')

  @property
  def has_moments(self) -> bool:
    """True if `mean` and `variance` have a closed form.

    For some parameters it may be inf or nan: see `moment_order`.
    """
    return _overrides(self, 'mean', 'variance')

  @property
  def moment_order(self) -> ArrayLike:
    """Supremum of the p for which E|z|^p is finite; inf by default."""
    return jnp.inf

  @property
  def has_inverse(self) -> bool:
    """True if `log_prob` is defined at points that this q did not draw."""
    return _overrides(self, 'log_prob') or _overrides(self, 'inverse')

  @property
  def inverse_is_sequential(self) -> bool:
    """True if `log_prob` costs one pass per dimension, one after another."""
    return False

  @property
  def support(self) -> Support | None:
    """Set of the events; None where unknown or dependent on parameters."""
    return None

  @property
  def is_discrete(self) -> bool:
    """True if it has a probability mass function instead of a density."""
    return self.pathwise_parameters == ()

  def noise(self, key: Key) -> Event:
    """Draws eps ~ p(eps), independent of the parameters."""
    raise no_noise(self)

  def noise_log_prob(self, eps: Event) -> Array:
    """Returns log p(eps), `[]`, in nats."""
    raise no_noise(self)

  def mirror(self, eps: Event) -> Event:
    """Returns the antithetic partner of eps, which has the distribution p."""
    raise TypeError(f'{self.name} has no antithetic noise')

  def transform(self, eps: Event) -> Event:
    """Returns z = g(phi, eps)."""
    raise no_noise(self)

  def inverse(self, z: Event) -> Event:
    """Returns eps such that z = g(phi, eps)."""
    if _overrides(self, 'transform'):
      raise TypeError(f'{self.name} has no inverse: define `inverse(z) -> eps`')
    raise no_noise(self)

  def draw(self, key: Key) -> Event:
    """Draws one event, differentiable in `pathwise_parameters`."""
    if _overrides(self, 'draw_and_log_prob') and not _overrides(
      self, 'transform'
    ):
      return self.draw_and_log_prob(key)[0]
    return self.transform(self.noise(key))

  def draw_and_log_prob(self, key: Key) -> tuple[Event, Array]:
    """Draws z as `draw` does; returns z and log q(z), `[]`, in nats.

    A flow overrides this to compute both in one pass.
    """
    z = self.draw(key)
    return z, self.log_prob(z)

  def sample(self, key: Key) -> Event:
    """Draws one event, not necessarily differentiable."""
    return self.draw(key)

  def for_pathwise(self) -> Self:
    """Returns q that raises where it has no pathwise gradient."""
    reason = 'its draws are not differentiable in it'
    admitted = self.pathwise_parameters
    return admit_gradients(self, admitted, 'pathwise gradient', reason)

  def for_score(self) -> Self:
    """Returns q that raises where it has no score-function gradient."""
    reason = 'it moves the support, which the score does not account for'
    admitted = self.score_parameters
    return admit_gradients(self, admitted, 'score-function gradient', reason)

  def log_prob(self, z: Event) -> Array:
    """Returns log p(z), `[]`, in nats.

    Raises:
      TypeError: `has_inverse` is False.
    """
    if not self.has_inverse:
      raise TypeError(
        f'{self.name} has no inverse: log q(z) is defined for its own draws '
        'only; use `draw_and_log_prob`'
      )
    return change_of_variables(self, z)

  def entropy(self) -> Array:
    """Returns H[p] = -E[log p(z)], `[]`, in nats."""
    raise no_closed_form(self, 'entropy')

  def mean(self) -> Event:
    """Returns E[z], of the event's shape; inf or nan where it has none."""
    raise no_closed_form(self, 'mean')

  def variance(self) -> Event:
    """Returns Var[z], of the event's shape; inf or nan where it has none."""
    raise no_closed_form(self, 'variance')

  def covariance(self) -> Array:
    """Returns Cov[z] of the n numbers of an event, `[n, n]`."""
    variance = jnp.ravel(self.variance())
    if variance.size > 1 and not self.is_independent:
      raise no_closed_form(self, 'covariance')
    return jnp.diag(variance)


def _overrides(q: Distribution, *names: str) -> bool:
  """Returns True if the class of q defines each of these methods itself."""
  return all(
    getattr(type(q), name) is not getattr(Distribution, name) for name in names
  )


class Elementwise(Distribution):
  """A distribution of independent dimensions; parameters broadcast."""

  is_independent = True

  @property
  def shape(self) -> tuple[int, ...]:
    return jnp.broadcast_shapes(*map(jnp.shape, jax.tree.leaves(self)))

  @property
  def dtype(self) -> Any:
    """Floating dtype of the draws, as wide as the parameters."""
    return float_dtype(*jax.tree.leaves(self))


def change_of_variables(q: Distribution, z: Event) -> Array:
  """Returns log p(z) = log p(eps) - log|det dg/deps|, z = g(phi, eps).

  Computes the Jacobian with n forward-mode products (n = event size). This is
  the default density of a family, and a reference for the closed forms.

  Args:
    q: has `inverse`, `transform` and `noise_log_prob`.
    z: one event, inside the support.

  Returns: `[]`, in nats.

  References:
    Kingma and Welling 2014, Auto-Encoding Variational Bayes, section 2.4;
    Papamakarios et al. 2021, Normalizing Flows, eq. (2).
  """
  check_event('z', z, q)
  eps = q.inverse(z)
  flat, unravel = ravel_pytree(eps)
  transform = lambda x: ravel_pytree(plain(q.transform(unravel(x))))[0]
  jacobian = jax.jacfwd(transform)
  return q.noise_log_prob(eps) - jnp.linalg.slogdet(jacobian(flat))[1]


def event_shape(value: Event) -> Any:
  """Returns the shape of an array, or of each array in a dict."""
  if isinstance(value, Mapping):
    return {name: event_shape(each) for name, each in value.items()}
  return jnp.shape(value)


def check_event(name: str, value: Event, q: Distribution) -> None:
  """Raises `ValueError` unless `value` has the shape of one event of `q`."""
  if event_shape(value) != q.shape:
    raise ValueError(
      f'{name} has shape {event_shape(value)}, one event of '
      f'{q.name} has shape {q.shape}'
    )
