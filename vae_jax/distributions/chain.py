"""Hierarchical distributions: named latents drawn one after another."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Self

import jax

from vae_jax.distributions._missing import no_closed_form
from vae_jax.distributions.base import (
  Distribution,
  Event,
  distribution,
)
from vae_jax.distributions.support import Support
from vae_jax.types import Array, Key, Params


def _unchanged(q: Distribution) -> Distribution:
  return q


def _for_pathwise(q: Distribution) -> Distribution:
  return q.for_pathwise()


def _for_score(q: Distribution) -> Distribution:
  return q.for_score()


@distribution
class Conditional:
  """A conditional distribution p(z_i | earlier latents) of a `Chain`.

  The parameters are pytree leaves, so `jax.lax.stop_gradient(q)` and
  `jax.tree.map` reach them; variables that `function` closes over are hidden
  from both. `jax.jit` compares `function` by identity: define it once, outside
  the function that is called repeatedly, or each new one compiles again.

  Args:
    function: `function(params, z) -> Distribution`, where z is the dict of the
      latents drawn before this one.
    params: any pytree.
  """

  function: Callable[[Any, Mapping[str, Event]], Distribution] = (
    dataclasses.field(metadata={'static': True})
  )
  params: Params = ()
  view: Callable[[Distribution], Distribution] = dataclasses.field(
    default=_unchanged, metadata={'static': True}
  )

  def __call__(self, z: Mapping[str, Event]) -> Distribution:
    """Returns the distribution given the earlier latents `z`."""
    q = self.function(self.params, z)
    if not isinstance(q, Distribution):
      raise TypeError(
        f'Conditional: function returned {type(q).__name__}, expected a '
        'Distribution'
      )
    return self.view(q)

  def for_pathwise(self) -> 'Conditional':
    """Returns the conditional of `Distribution.for_pathwise`."""
    return dataclasses.replace(self, view=_for_pathwise)

  def for_score(self) -> 'Conditional':
    """Returns the conditional of `Distribution.for_score`."""
    return dataclasses.replace(self, view=_for_score)


@distribution
class Chain(Distribution):
  """Joint distribution of named latents, given by its conditionals.

  log q(z) = sum_i log q(z_i | z_1, ..., z_(i-1))

  The event is a dict by name. Latents are drawn in the order of the arguments,
  so q and p of one model may draw them in opposite orders:

    q = vj.Chain(z1=q_z1, z2=vj.Conditional(f, phi))
    p = vj.Chain(z2=p_z2, z1=vj.Conditional(g, theta))

  where `g(theta, z)` returns the distribution of z1 given `z['z2']`.

  Args:
    **parts: a Distribution, or a `Conditional` on the latents before it.

  Raises:
    TypeError: a part is neither.
    ValueError: there are no parts.

  References:
    Sonderby et al. 2016, Ladder Variational Autoencoders, section 2.
  """

  parts: dict[str, Distribution | Conditional]
  order: tuple[str, ...] = dataclasses.field(metadata={'static': True})

  def __init__(self, **parts: Distribution | Conditional) -> None:
    if not parts:
      raise ValueError('Chain: got no parts, expected at least one latent')
    for name, part in parts.items():
      if not isinstance(part, Distribution | Conditional):
        raise TypeError(
          f'Chain: {name} is a {type(part).__name__}, expected a Distribution '
          'or vj.Conditional(function, params)'
        )
    object.__setattr__(self, 'parts', parts)
    # A dict as a pytree has its keys sorted, which loses the drawing order.
    object.__setattr__(self, 'order', tuple(parts))

  @property
  def shape(self) -> dict[str, Any]:
    return self._trace(lambda q: q.shape)

  @property
  def has_entropy(self) -> bool:
    return self._independent(lambda q: q.has_entropy)

  @property
  def has_moments(self) -> bool:
    return self._independent(lambda q: q.has_moments)

  @property
  def has_inverse(self) -> bool:
    return all(self._trace(lambda q: q.has_inverse).values())

  @property
  def is_discrete(self) -> bool:
    return any(self._trace(lambda q: q.is_discrete).values())

  def supports(self) -> dict[str, Support | None]:
    """Returns the support of each latent; None where it is not known."""
    return self._trace(lambda q: q.support)

  def part(self, name: str, z: Mapping[str, Event]) -> Distribution:
    """Returns the distribution of one latent, given the earlier ones in z."""
    part = self.parts[name]
    if isinstance(part, Distribution):
      return part
    earlier = self.order[: self.order.index(name)]
    return part({each: z[each] for each in earlier})

  def _visit(
    self, visit: Callable[[str, Distribution], tuple[Event, Any]]
  ) -> tuple[dict[str, Event], dict[str, Any]]:
    """Calls `visit(name, part) -> (z_i, result)` in drawing order."""
    z: dict[str, Event] = {}
    results = {}
    for name in self.order:
      z[name], results[name] = visit(name, self.part(name, z))
    return z, results

  def _keys(self, key: Key) -> dict[str, Key]:
    keys = jax.random.split(key, len(self.order))
    return dict(zip(self.order, keys, strict=True))

  def _map(self, function: Callable[[Self | Any], Any]) -> Self:
    return type(self)(**{n: function(self.parts[n]) for n in self.order})

  def _trace(self, ask: Callable[[Distribution], Any]) -> dict[str, Any]:
    """Returns `ask(part)` for each latent, tracing one draw."""
    answers = {}

    def draw(chain: 'Chain') -> Event:
      keys = chain._keys(jax.random.key(0))

      def visit(name: str, q: Distribution) -> tuple[Event, None]:
        answers[name] = ask(q)
        return q.sample(keys[name]), None

      return chain._visit(visit)[0]

    # As an argument the parameters may be abstract.
    jax.eval_shape(draw, self)
    return answers

  def _independent(self, has: Callable[[Distribution], bool]) -> bool:
    return all(
      isinstance(part, Distribution) and has(part)
      for part in self.parts.values()
    )

  def for_pathwise(self) -> Self:
    return self._map(lambda part: part.for_pathwise())

  def for_score(self) -> Self:
    return self._map(lambda part: part.for_score())

  def draw(self, key: Key) -> Event:
    keys = self._keys(key)
    return self._visit(lambda name, q: (q.draw(keys[name]), None))[0]

  def sample(self, key: Key) -> Event:
    keys = self._keys(key)
    return self._visit(lambda name, q: (q.sample(keys[name]), None))[0]

  def draw_and_log_prob(self, key: Key) -> tuple[Event, Array]:
    keys = self._keys(key)
    z, log_q = self._visit(lambda name, q: q.draw_and_log_prob(keys[name]))
    return z, self._sum(log_q)

  def log_prob(self, z: Event) -> Array:
    self._check_names('z', z)
    _, log_q = self._visit(lambda name, q: (z[name], q.log_prob(z[name])))
    return self._sum(log_q)

  def entropy(self) -> Array:
    return self._sum(self._closed_form('entropy', self.has_entropy))

  def mean(self) -> Event:
    return self._closed_form('mean', self.has_moments)

  def variance(self) -> Event:
    return self._closed_form('variance', self.has_moments)

  def _closed_form(self, quantity: str, exists: bool) -> dict[str, Any]:
    if not exists:
      raise no_closed_form(self, quantity)
    return {name: getattr(q, quantity)() for name, q in self.parts.items()}

  def noise(self, key: Key) -> Event:
    keys = self._keys(key)

    def visit(name: str, q: Distribution) -> tuple[Event, Event]:
      eps = q.noise(keys[name])
      return q.transform(eps), eps

    return self._visit(visit)[1]

  def noise_log_prob(self, eps: Event) -> Array:
    return self._sum(self._with_noise(eps, lambda q, e: q.noise_log_prob(e)))

  def mirror(self, eps: Event) -> Event:
    return self._with_noise(eps, lambda q, e: q.mirror(e))

  def transform(self, eps: Event) -> Event:
    self._check_names('eps', eps)
    return self._visit(lambda name, q: (q.transform(eps[name]), None))[0]

  def inverse(self, z: Event) -> Event:
    self._check_names('z', z)
    return self._visit(lambda name, q: (z[name], q.inverse(z[name])))[1]

  def _with_noise(
    self, eps: Event, function: Callable[[Distribution, Event], Any]
  ) -> dict[str, Any]:
    self._check_names('eps', eps)
    return self._visit(
      lambda name, q: (q.transform(eps[name]), function(q, eps[name]))
    )[1]

  def _sum(self, terms: dict[str, Array]) -> Array:
    first, *others = (terms[name] for name in self.order)
    return sum(others, first)

  def _check_names(self, name: str, value: Event) -> None:
    names = sorted(value) if isinstance(value, Mapping) else None
    if names != sorted(self.order):
      raise ValueError(
        f'{name}: got {names or type(value).__name__}, expected a dict with '
        f'the latents {sorted(self.order)} of a Chain'
      )
