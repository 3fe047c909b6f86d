"""The top layer of a hierarchy, as a model for the figures."""

from collections.abc import Callable
from typing import Any

import jax

from vae_jax.distributions import Distribution
from vae_jax.models import Inference
from vae_jax.runs.report.figures.image_model import Model, make_decode
from vae_jax.types import Array


def complete(prior: Any, z: Array) -> dict[str, Array]:
  """Returns all latents of a Chain: z is the top, the others are at E_p."""
  top, *below = prior.order
  known = {top: z}
  for name in below:
    known[name] = prior.part(name, known).mean()
  return known


def top_of(model: Model, condition: Callable[[], Inference]) -> Model:
  """Returns the model whose z is the top layer of a hierarchy.

  Args:
    model: A model whose prior is a Chain.
    condition: Conditions it on its first image.
  """
  chain: Any = model.prior
  top = chain.order[0]

  def decode(z: Array) -> Distribution:
    inference = condition()
    return inference.likelihood(complete(inference.prior, z))

  def top_posterior(q: Any) -> Distribution:
    return q.part(top, q.sample(jax.random.key(0)))

  return model._replace(
    encode=lambda x: model.encode(x)[top],
    decode=make_decode(decode, model.images),
    posterior=jax.eval_shape(top_posterior, model.posterior),
    prior=chain.parts[top],
    latent=top,
    note=f' {top} is the top layer; those below are at the means of p.',
  )
