"""What a model makes of images and of its latents, decoded."""

import pathlib
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax import plots
from vae_jax.distributions import (
  Bernoulli,
  Distribution,
  Laplace,
  Logistic,
  Normal,
)
from vae_jax.evaluate import Latents, evaluation_keys
from vae_jax.model import VAE
from vae_jax.types import Array, Params

_SIDE = 16
_PAIRS = 8
_UNITS = 10
# More fit across where a unit has two values only.
_BINARY_UNITS = 16
_FRACTIONS = np.linspace(0, 1, 11)
_LEVELS = (0.01, 0.05, *np.arange(1, 10) / 10, 0.95, 0.99)

Drawn = tuple[pathlib.Path, str]
Quantile = Callable[[Array], Array]


def _laplace_quantile(u: Array) -> Array:
  return -jnp.sign(u - 0.5) * jnp.log1p(-2 * jnp.abs(u - 0.5))


# Inverse CDF of eps, z = g(eps).
_QUANTILES: dict[type[Distribution], Quantile] = {
  Normal: jax.scipy.special.ndtri,
  Laplace: _laplace_quantile,
  Logistic: jax.scipy.special.logit,
}


class Model(NamedTuple):
  """A trained model and the test images to show it with.

  Attributes:
    encode: `[N, H, W, C]` -> posterior means, `[N, Z]`.
    decode: `[N, Z]` -> E[x|z], `[N, H, W, C]` in [0, 1].
    prior: p(z).
    images: uint8, `[N, H, W, C]`.
    prepared: the same as the likelihood takes them.
  """

  encode: Callable[[np.ndarray], Array]
  decode: Callable[[Array], np.ndarray]
  prior: Distribution
  images: np.ndarray
  prepared: np.ndarray


def make_model(
  vae: VAE, params: Params, images: np.ndarray, prepared: np.ndarray
) -> Model:
  """Makes what is drawn of the model with these parameters."""
  encode = jax.jit(jax.vmap(lambda x: vae.encode(params, x).mean()))
  # The mean of a normal may lie outside black and white.
  decode = jax.jit(
    jax.vmap(lambda z: jnp.clip(vae.decode(params, z).mean(), 0, 1))
  )
  return Model(
    encode=lambda x: encode(jnp.asarray(x, jnp.float32)),
    decode=lambda z: np.asarray(decode(z)),
    prior=vae.prior(params),
    images=images,
    prepared=prepared,
  )


def draw(folder: pathlib.Path, model: Model, latents: Latents) -> list[Drawn]:
  """Draws every picture that the prior admits."""
  drawn = [
    reconstructions(folder, model),
    prior_samples(folder, model),
    interpolations(folder, model),
  ]
  quantile = _QUANTILES.get(type(model.prior))
  if isinstance(model.prior, Bernoulli):
    drawn.append(switches(folder, model, latents))
  if quantile:
    drawn.append(traversals(folder, model, latents, quantile))
  if quantile and model.prior.shape == (2,):
    drawn.append(latent_manifold(folder, model, quantile))
  return drawn


def reconstructions(folder: pathlib.Path, model: Model) -> Drawn:
  """Draws test images above what the decoder makes of their latents."""
  x = model.prepared[:_SIDE]
  rows = {'original': model.images[:_SIDE] / 255}
  if x.dtype == np.uint8:
    rows['binarised'] = x.astype(np.float64)
  rows['reconstruction'] = model.decode(model.encode(x))
  path = plots.image_rows(
    folder / 'reconstructions.png',
    'Test images, as the encoder sees them, and E[x | z = E q(z|x)]',
    np.stack(list(rows.values())),
    rows=list(rows),
  )
  return path, 'Test images and what is left of them after z.'


def prior_samples(folder: pathlib.Path, model: Model) -> Drawn:
  """Draws what the model dreams."""
  keys = jax.random.split(evaluation_keys().figures, _SIDE**2)
  path = plots.image_grid(
    folder / 'prior_samples.png',
    'E[x | z], z drawn from the prior',
    model.decode(jax.vmap(model.prior.sample)(keys)),
    _SIDE,
  )
  return path, 'Means of p(x|z) at draws of z from the prior.'


def interpolations(folder: pathlib.Path, model: Model) -> Drawn:
  """Draws decoded straight lines between latents of pairs of test images."""
  # From all over the split, which may be sorted.
  ends = np.linspace(0, len(model.images) - 1, 2 * _PAIRS).astype(int)
  first, last = ends[:_PAIRS], ends[_PAIRS:]
  t = jnp.asarray(_FRACTIONS, jnp.float32)[None, :, None]
  start = model.encode(model.prepared[first])[:, None]
  end = model.encode(model.prepared[last])[:, None]
  lines = (1 - t) * start + t * end
  decoded = model.decode(lines.reshape(-1, lines.shape[-1]))
  steps = decoded.reshape(_PAIRS, len(_FRACTIONS), *decoded.shape[1:])
  originals = [model.images[side][:, None] / 255 for side in (first, last)]
  path = plots.image_rows(
    folder / 'interpolations.png',
    'E[x | z], z = (1 - t) E q(z|x) + t E q(z|y) of test images x and y',
    np.concatenate([originals[0], steps, originals[1]], axis=1),
    columns=('x', *(f't = {t:.1f}' for t in _FRACTIONS), 'y'),
  )
  return path, (
    'Straight lines through z from one test image, left, to another, right.'
  )


def traversals(
  folder: pathlib.Path, model: Model, latents: Latents, quantile: Quantile
) -> Drawn:
  """Draws single units swept over the quantiles of the prior."""
  units = np.argsort(-latents.kl)[:_UNITS]
  levels = jnp.asarray(_LEVELS, jnp.float32)
  values = jax.vmap(
    lambda u: model.prior.transform(
      jnp.broadcast_to(quantile(u), model.prior.shape)
    )
  )(levels)
  path = plots.image_rows(
    folder / 'traversals.png',
    'E[x | z], one unit swept, the others at a posterior mean (KL in nats)',
    _sweep(model, units, values),
    rows=_names(units, latents),
    columns=[f'{level:.0%}' for level in _LEVELS],
    label='quantile of the prior',
  )
  return path, 'What single units do, those of the largest KL first.'


def switches(folder: pathlib.Path, model: Model, latents: Latents) -> Drawn:
  """Draws single binary units off and on."""
  units = np.argsort(-latents.kl)[:_BINARY_UNITS]
  values = jnp.tile(jnp.asarray([[0.0], [1.0]]), model.prior.shape)
  path = plots.image_rows(
    folder / 'traversals.png',
    'E[x | z], one unit switched, the others at a posterior mean (KL in nats)',
    np.moveaxis(_sweep(model, units, values), 1, 0),
    rows=('z[j] = 0', 'z[j] = 1'),
    columns=_names(units, latents),
  )
  return path, 'What single units do, those of the largest KL first.'


def _names(units: np.ndarray, latents: Latents) -> list[str]:
  return [f'z[{j}]\nKL {latents.kl[j]:.2f}' for j in units]


def _sweep(model: Model, units: np.ndarray, values: Array) -> np.ndarray:
  """Decodes units at `[S, Z]` values, `[units, S, H, W, C]`."""
  base = model.encode(model.prepared[:1])[0]
  at = lambda unit, value: base.at[unit].set(value[unit])
  moved = jax.vmap(lambda unit: jax.vmap(at, (None, 0))(unit, values))(
    jnp.asarray(units)
  )
  decoded = model.decode(moved.reshape(-1, moved.shape[-1]))
  return decoded.reshape(*moved.shape[:2], *decoded.shape[1:])


def latent_manifold(
  folder: pathlib.Path, model: Model, quantile: Quantile
) -> Drawn:
  """Kingma and Welling 2014, figure 4: equal steps of prior probability."""
  u = (jnp.arange(_SIDE) + 0.5) / _SIDE
  first, second = jnp.meshgrid(u, u[::-1])
  grid = quantile(jnp.stack([first.ravel(), second.ravel()], axis=-1))
  path = plots.image_grid(
    folder / 'latent_manifold.png',
    'E[x | z] over the latent plane',
    model.decode(jax.vmap(model.prior.transform)(grid)),
    _SIDE,
    labels=('z[0], by prior quantile', 'z[1], by prior quantile'),
  )
  return path, 'The latent plane, in equal steps of prior probability.'
