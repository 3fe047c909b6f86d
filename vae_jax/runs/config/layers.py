"""Conflicts of the options of several stochastic layers, with the reason."""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any, cast

import jax
import jax.numpy as jnp

from vae_jax.distributions import Distribution
from vae_jax.models import POSTERIORS
from vae_jax.models.layers import LOCATION_SCALE
from vae_jax.models.make import make_vae

# Options that one layer does not read.
_OF_LAYERS = ('layer_hidden_sizes', 'inference')


def flag(name: str, value: Any) -> str:
  """Returns an option as it is typed."""
  value = ','.join(map(str, value)) if isinstance(value, tuple) else value
  return f'--{name}={value}'


def layer_conflicts(model: Any) -> Iterator[str]:
  """Yields a line for each option that does not go with the layers.

  Args:
    model: the part `model` of a config.
  """
  defaults = {field.name: field.default for field in dataclasses.fields(model)}
  changed = lambda name: getattr(model, name) != defaults[name]
  if not model.latent_dims:
    for name in filter(changed, _OF_LAYERS):
      yield (
        f'{flag(name, getattr(model, name))} with one stochastic layer: it '
        'belongs to --latent_dims of two or more'
      )
    return
  dims = flag('latent_dims', model.latent_dims)
  if len(model.latent_dims) == 1:
    yield f'{dims}: one layer; use --latent_dim={model.latent_dims[0]}'
  if changed('latent_dim'):
    yield (
      f'--latent_dim={model.latent_dim} with {dims}: both give the size of z; '
      'leave --latent_dim out'
    )
  if model.size_factor != 'none':
    yield (
      f'--size_factor={model.size_factor} with {dims}: the size factor belongs '
      'to one layer; use --latent_dim'
    )
    return
  if not _is_location_scale(model, model.posterior):
    admitted = [n for n in POSTERIORS if _is_location_scale(model, n)]
    yield (
      f'--posterior={model.posterior} with {dims}: each layer needs a family '
      f'with location and scale; use --posterior={" or ".join(admitted)}'
    )
    return
  try:
    layer_pair(model)
  except TypeError as error:
    yield f'--prior={model.prior} with {dims}: {error}'


def _is_location_scale(model: Any, posterior: str) -> bool:
  row = POSTERIORS[posterior]
  options = {name: getattr(model, name) for name in row.options}
  return row.head(2, **options).outputs.keys() == LOCATION_SCALE


@functools.cache
def layer_pair(model: Any) -> tuple[Distribution, Distribution]:
  """Returns q(z|x) and p(z), each a Chain, of two dimensions per layer.

  Args:
    model: the part `model` of a config, of several layers.

  Raises:
    TypeError: the prior does not admit several layers.
  """
  small = dataclasses.replace(
    model,
    latent_dims=(2,) * len(model.latent_dims),
    network='mlp',
    hidden_sizes=(),
    layer_hidden_sizes=(),
    likelihood='normal',
    condition_prior=False,
  )

  def make() -> tuple[Distribution, Distribution]:
    vae, x = make_vae(small, (2,)), cast(Any, jnp.zeros(2))
    params = vae.init(jax.random.key(0))
    found = vae.condition(params, x)
    return found.posterior, found.prior

  return jax.eval_shape(make)
