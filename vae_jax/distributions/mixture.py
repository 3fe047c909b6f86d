"""Finite mixtures of one family."""

import dataclasses
from collections.abc import Callable
from typing import Any, Self

import jax
import jax.numpy as jnp

from vae_jax.distributions._missing import no_closed_form
from vae_jax.distributions._mixture_densities import log_prob_each
from vae_jax.distributions.base import (
  Distribution,
  Event,
  distribution,
)
from vae_jax.distributions.differentiability import raise_on_gradient
from vae_jax.distributions.support import Support
from vae_jax.types import Array, ArrayLike, Key

_NO_PATH = (
  'the choice of a component is discrete. Use `vj.score_function`, or sum the '
  'expectations under the components, weighted'
)


@distribution
class Mixture(Distribution):
  """p(z) = sum_m softmax(logits)_m p_m(z), M components of one family.

  Draws are differentiable in the parameters of the components, and not in the
  weights: a pathwise gradient in `logits` raises.

  Args:
    logits: unnormalised log-weights, `[M]`.
    components: one distribution, each of whose parameters has a leading axis
      `[M]`, as `jax.vmap` returns and `jax.tree.map` stacks it.

  Raises:
    ValueError: the leading axes are not M.

  References:
    Figurnov, Mohamed and Mnih 2018, Implicit Reparameterization Gradients,
    section 5, for the missing gradient in the weights.

  Examples:
    >>> components = vj.Normal(jnp.array([-1.0, 1.0]), jnp.zeros(2))
    >>> p = vj.Mixture(jnp.zeros(2), components)
    >>> print(p.mean(), p.variance())
    0.0 2.0
  """

  logits: ArrayLike
  components: Distribution

  pathwise_parameters = ('components',)
  has_entropy = False

  def __post_init__(self) -> None:
    components: Any = self.components
    # As a pytree it may also hold axes or specifications.
    if not isinstance(components, Distribution):
      return
    if not hasattr(self.logits, 'shape'):
      return
    shape = self.logits.shape
    # Leading axes of the logits are a batch that `vmap` maps over.
    for leaf in jax.tree.leaves(components):
      if not shape or jnp.shape(leaf)[: len(shape)] != shape:
        raise ValueError(
          f'components: got a parameter of shape {jnp.shape(leaf)} with logits '
          f'of shape {shape}, expected the leading axis to be the number of '
          'components. Stack them with jax.tree.map'
        )

  @property
  def shape(self) -> Any:
    return self._ask(lambda p: p.shape)

  @property
  def has_moments(self) -> bool:
    return self._ask(lambda p: p.has_moments)

  @property
  def has_inverse(self) -> bool:
    return self._ask(lambda p: p.has_inverse)

  @property
  def support(self) -> Support | None:
    return self._ask(lambda p: p.support)

  @property
  def is_discrete(self) -> bool:
    return self._ask(lambda p: p.is_discrete)

  @property
  def moment_order(self) -> ArrayLike:
    least = lambda p: jnp.min(jnp.asarray(p.moment_order, float))
    return jax.vmap(least)(self.components)

  @property
  def log_weights(self) -> Array:
    """Returns log softmax(logits), `[M]`."""
    return jax.nn.log_softmax(1.0 * jnp.asarray(self.logits))

  def _ask(self, question: Callable[[Distribution], Any]) -> Any:
    """Returns what one component answers, known without its parameters."""
    answers = []

    def trace(components: Distribution) -> None:
      answers.append(question(_component(components, 0)))

    jax.eval_shape(trace, self.components)
    return answers[0]

  def for_pathwise(self) -> Self:
    return dataclasses.replace(
      self,
      logits=_without_path(self.logits),
      components=self.components.for_pathwise(),
    )

  def for_score(self) -> Self:
    return dataclasses.replace(self, components=self.components.for_score())

  def draw(self, key: Key) -> Event:
    index_key, draw_key = jax.random.split(key)
    # Else the gradient in the logits would be zero without a word.
    index = _draw_index(index_key, _without_path(self.logits))
    return _component(self.components, index).draw(draw_key)

  def sample(self, key: Key) -> Event:
    index_key, draw_key = jax.random.split(key)
    logits = jax.lax.stop_gradient(jnp.asarray(self.logits))
    index = _draw_index(index_key, logits)
    return _component(self.components, index).sample(draw_key)

  def log_prob(self, z: Event) -> Array:
    joint = self.log_weights + log_prob_each(self.components, z)
    # Outside every component the gradient would be 0 / 0.
    outside = jnp.max(joint) == -jnp.inf
    log_p = jax.nn.logsumexp(jnp.where(outside, 0, joint))
    return jnp.where(outside, -jnp.inf, log_p)

  def mean(self) -> Event:
    self._require_moments('mean')
    return self._average(jax.vmap(lambda p: p.mean())(self.components))

  def variance(self) -> Event:
    self._require_moments('variance')

    def total(means: Array, variances: Array) -> Array:
      # Deviations first: a difference of squares would lose all digits.
      deviations = means - self._average(means)[None]
      return self._average(variances + deviations**2)

    means, variances = jax.vmap(lambda p: (p.mean(), p.variance()))(
      self.components
    )
    return jax.tree.map(total, means, variances)

  def covariance(self) -> Array:
    self._require_moments('covariance')
    flat = lambda p: (jnp.ravel(p.mean()), p.covariance())
    means, covariances = jax.vmap(flat)(self.components)
    deviations = means - self._average(means)[None]
    outer = deviations[:, :, None] * deviations[:, None, :]
    return self._average(covariances + outer)

  def _average(self, values: Any) -> Any:
    """Averages values, `[M, ...]`, over the components."""
    weights = jnp.exp(self.log_weights)
    weigh = jax.vmap(lambda weight, x: weight * x)
    return jax.tree.map(lambda x: jnp.sum(weigh(weights, x), axis=0), values)

  def _require_moments(self, quantity: str) -> None:
    if not self.has_moments:
      raise no_closed_form(self, quantity)

  def noise(self, key: Key) -> Event:
    raise self._no_noise()

  def noise_log_prob(self, eps: Event) -> Array:
    raise self._no_noise()

  def transform(self, eps: Event) -> Event:
    raise self._no_noise()

  def inverse(self, z: Event) -> Event:
    raise self._no_noise()

  def mirror(self, eps: Event) -> Event:
    raise self._no_noise()

  def _no_noise(self) -> TypeError:
    return TypeError(f'{self.name} has no z = g(phi, eps): {_NO_PATH}')


def _draw_index(key: Key, logits: Array) -> Array:
  """Draws the index of a component; one beyond the last if a logit is nan."""
  index = jax.random.categorical(key, logits)
  return jnp.where(jnp.isnan(logits).any(), len(logits), index)


def _component(components: Distribution, index: Any) -> Distribution:
  """Returns one component; of nan parameters for an index beyond the last."""
  at = lambda leaf: jnp.asarray(leaf).at[index].get(mode='fill')
  return jax.tree.map(at, components)


def _without_path(logits: ArrayLike) -> Array:
  message = f'Mixture has no pathwise gradient in logits: {_NO_PATH}'
  return raise_on_gradient(logits, message)
