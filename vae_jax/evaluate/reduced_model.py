"""A model without some of its latent dimensions."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions import Distribution, _shapes
from vae_jax.distributions.logged_draw import plain
from vae_jax.evaluate.dimensions import is_factorised, per_dimension
from vae_jax.models import Inference, LatentModel
from vae_jax.types import Array, Example, Key, Latent, Params


class WithoutUnits(NamedTuple):
  """A `LatentModel` in which some latent dimensions have a fixed value.

  Attributes:
    model: the model with all dimensions.
    dimensions: indices of the remaining dimensions.
    means: values of the fixed dimensions, `[Z]`.
  """

  model: LatentModel
  dimensions: np.ndarray
  means: Array

  def init(self, key: Key) -> Params:
    """Returns the initial parameters of the full model."""
    return self.model.init(key)

  def condition(self, params: Params, example: Example) -> Inference:
    """Returns q, p(z) and p(x|z) over the remaining dimensions, and x."""
    full = self.model.condition(params, example)

    def likelihood(z: Latent) -> Distribution:
      z = plain(z)
      fixed = self.means.astype(z.dtype)
      return full.likelihood(fixed.at[self.dimensions].set(z))

    return Inference(
      posterior=self._select(full.posterior),
      prior=self._select(full.prior),
      likelihood=likelihood,
      x=full.x,
    )

  def _select(self, q: Distribution) -> Distribution:
    if not is_factorised(q):
      raise TypeError(f'{q.name} has dependent units: none can be removed')
    return jax.tree.map(lambda leaf: leaf[self.dimensions], per_dimension(q))


def without_units(model: LatentModel, keep: Any, means: Any) -> WithoutUnits:
  """Removes latent dimensions from a model, at a fixed value.

  p(x | z_keep, other dimensions at their mean), with posterior and prior over
  z_keep only: a latent-variable model with a likelihood of its own.

  Args:
    model: any `LatentModel` with independent latent dimensions.
    keep: which dimensions remain, bool `[Z]`.
    means: values of the removed dimensions, `[Z]`.

  Returns:
    A `LatentModel`. Its `condition` raises `TypeError` where dimensions are
    dependent.
  """
  _shapes.assert_rank([keep, means], 1)
  _shapes.assert_equal_shape([keep, means])
  return WithoutUnits(model, np.flatnonzero(keep), jnp.asarray(means))
