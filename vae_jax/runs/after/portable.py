"""Encoder and decoder as programs of jax.export, which need no vae_jax."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.distributions import Distribution
from vae_jax.distributions.masked import Masked
from vae_jax.errors import UserError
from vae_jax.evaluate.draws import has_own_parameters
from vae_jax.models import SizeFactorVAE
from vae_jax.runs.after.named import flat
from vae_jax.runs.load import LoadedRun
from vae_jax.types import Array, Params

PLATFORMS = ('cpu', 'cuda', 'tpu')
# Array name -> array, as every program takes and returns it.
Arrays = dict[str, Array]


class Program(NamedTuple):
  """A program of jax.export and its arrays, for a batch of any size.

  Attributes:
    content: bytes of the file.
    inputs: name -> shape and dtype of one example's array.
    outputs: name -> shape and dtype of what it returns for one example.
    family: name of q(z|x); '' for a decoder.
    noise_is_normal: whether its noise is standard normal.
  """

  content: bytes
  inputs: dict[str, jax.ShapeDtypeStruct]
  outputs: dict[str, jax.ShapeDtypeStruct]
  family: str = ''
  noise_is_normal: bool = False


def _example(run: LoadedRun) -> dict[str, jax.ShapeDtypeStruct]:
  """Returns the arrays of one example as `model.condition` takes them."""
  shape = jax.ShapeDtypeStruct
  found = {'x': shape(run.data_shape, jnp.result_type(float))}
  if run.condition is not None:
    width = run.condition.num_covariates
    found['y'] = shape((), jnp.int32)
    if width:
      found['y'] = shape((width,), jnp.result_type(float))
  if run.config.data.missing == 'mask':
    found['mask'] = shape(run.data_shape, jnp.bool_)
  return found


def _join(example: Mapping[str, Any]) -> Any:
  return dict(example) if len(example) > 1 else example['x']


def _noise(posterior: Distribution) -> Any:
  """Returns shapes of the noise of q(z|x); None where draws are no transform.

  They are those of z = g(phi, eps); a Gamma or a discrete z has none.
  """
  try:
    # The noise of a hierarchy is that of each layer given the draws above it.
    return jax.eval_shape(
      lambda q, key: q.noise(key), posterior, jax.random.key(0)
    )
  except TypeError:
    return None


def export_encode(run: LoadedRun) -> Program:
  """Exports x, noise -> z = g(phi, noise), moments, parameters of q(z|x)."""
  model = run.model
  example = _example(run)
  q = jax.eval_shape(
    lambda params, x: model.condition(params, _join(x)).posterior,
    *(run.params, example),
  )
  noise = _noise(q)
  named_noise = {} if noise is None else flat('noise', noise)

  def one(params: Params, inputs: Mapping[str, Array]) -> Arrays:
    x = {name: inputs[name] for name in example}
    q = model.condition(params, _join(x)).posterior
    found: Arrays = {}
    if noise is not None:
      leaves = [inputs[name] for name in named_noise]
      eps = jax.tree.unflatten(jax.tree.structure(noise), leaves)
      found |= flat('z', q.transform(eps))
    if q.has_moments:
      found |= flat('mean', q.mean())
      found |= flat('scale', jax.tree.map(jnp.sqrt, q.variance()))
    if has_own_parameters(q):
      found |= flat('posterior', q)
    return found

  program = _export(one, run.params, example | named_noise)
  return program._replace(
    family=q.name, noise_is_normal=noise is not None and _is_normal(run)
  )


def _is_normal(run: LoadedRun) -> bool:
  """Returns whether log p(noise) is that of independent standard normals."""
  zeros = {k: jnp.zeros(x.shape, x.dtype) for k, x in _example(run).items()}
  q = run.model.condition(run.params, _join(zeros)).posterior
  eps = q.noise(jax.random.key(0))
  leaves = jax.tree.leaves(eps)
  if not all(jnp.issubdtype(x.dtype, jnp.floating) for x in leaves):
    return False
  expected = sum(jnp.sum(jax.scipy.stats.norm.logpdf(x)) for x in leaves)
  return bool(jnp.allclose(q.noise_log_prob(eps), expected, rtol=1e-4))


def export_decode(run: LoadedRun) -> Program:
  """Exports z -> E[x|z] and the parameters of p(x|z)."""
  model = run.model
  example = _example(run)
  beside = {name: example[name] for name in example if name == 'y'}
  if isinstance(model, SizeFactorVAE):
    beside['size'] = jax.ShapeDtypeStruct((), jnp.result_type(float))

  def given(inputs: Mapping[str, Any]) -> Any:
    # p(x|z) and p(z) do not depend on x.
    x = {'x': jnp.zeros(run.data_shape, example['x'].dtype)}
    if 'mask' in example:
      x['mask'] = jnp.ones(run.data_shape, bool)
    return _join(x | {name: inputs[name] for name in beside})

  def draw(params: Params, inputs: Mapping[str, Array]) -> Any:
    prior = model.condition(params, given(inputs)).prior
    return prior.sample(jax.random.key(0))

  z = jax.eval_shape(draw, run.params, beside)
  named_z = flat('z', z)

  def one(params: Params, inputs: Mapping[str, Array]) -> Arrays:
    leaves = [inputs[name] for name in named_z]
    own = jax.tree.unflatten(jax.tree.structure(z), leaves)
    p = model.condition(params, given(inputs)).likelihood(own)
    p = p.base if isinstance(p, Masked) else p
    return {'mean': p.mean(), **flat('likelihood', p)}

  return _export(one, run.params, named_z | beside)


def _export(
  one: Any, params: Params, inputs: dict[str, jax.ShapeDtypeStruct]
) -> Program:
  """Exports a function of one example for a batch, on every platform."""
  from jax import export

  names = flat_params(params)
  structure = jax.tree.structure(params)

  def many(arrays: Arrays, inputs: Arrays) -> Arrays:
    # In the order of the leaves, not that of the sorted names.
    whole = jax.tree.unflatten(structure, [arrays[name] for name in names])
    return jax.vmap(one, (None, 0))(whole, inputs)

  shape = jax.ShapeDtypeStruct
  (batch,) = export.symbolic_shape('batch')
  batched = {k: shape((batch, *x.shape), x.dtype) for k, x in inputs.items()}
  own = {name: shape(x.shape, x.dtype) for name, x in names.items()}
  outputs = jax.eval_shape(one, params, inputs)
  exported = export.export(jax.jit(many), platforms=PLATFORMS)(own, batched)
  return Program(bytes(exported.serialize()), inputs, outputs)


def flat_params(params: Params) -> dict[str, Array]:
  """Returns the parameters by the path of each leaf, `encoder/0/kernel`.

  Raises:
    UserError: two leaves have the same path.
  """
  found: dict[str, Array] = {}
  for path, leaf in jax.tree_util.tree_leaves_with_path(params):
    name = jax.tree_util.keystr(path, simple=True, separator='/') or 'params'
    if name in found:
      raise UserError(
        f'export: got two parameters of the path {name}, expected one. Use '
        'other names in the pytree of the model'
      )
    found[name] = jnp.asarray(leaf)
  return found
