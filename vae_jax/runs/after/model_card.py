"""The model card of an exported run: numbers, data, options, how to load."""

import json
import pathlib
from collections.abc import Iterable
from typing import Any

import jax

from vae_jax.errors import command
from vae_jax.models import LIKELIHOODS
from vae_jax.runs.after.opened import Opened
from vae_jax.runs.after.portable import PLATFORMS, Program
from vae_jax.runs.describe import describe, describe_training
from vae_jax.runs.reported import describe_parameters, is_raw

WEIGHTS, ENCODE, DECODE = 'parameters.safetensors', 'encode.jax', 'decode.jax'
# In the names of arrays, those of the noise.
_NOISE = 'noise'
_PLACES = ('compile_cache', 'data_dir', 'platform', 'workdir')

_LOAD = """```python
import numpy as np
from jax import export
from safetensors.numpy import load_file

params = load_file('{weights}')
with open('{encode}', 'rb') as file:
  encode = export.deserialize(bytearray(file.read()))
with open('{decode}', 'rb') as file:
  decode = export.deserialize(bytearray(file.read()))

rng = np.random.default_rng(0)
{body}
print({{name: array.shape for name, array in decoded.items()}})
```"""


def card(
  opened: Opened, encode: Program, decode: Program, parameters: str
) -> str:
  """Returns the model card as Markdown.

  Args:
    opened: the run.
    encode: program of q(z|x).
    decode: program of p(x|z).
    parameters: 'raw' or 'ema'.
  """
  sections = {
    'Likelihood of the test split': _numbers(opened, parameters),
    'Data': _data(opened),
    'Objective and training': _training(opened),
    'Use without vae_jax': _use(opened, encode, decode),
    'Options': ['```json', json.dumps(_options(opened)), '```'],
    'Versions at the start of the run': [
      *(f'- {k}: {x}' for k, x in opened.folder.read_versions().items()),
      f'- jax of the export: {jax.__version__}',
    ],
  }
  run = opened.run
  count = sum(x.size for x in jax.tree.leaves(run.params))
  words = describe_parameters(run.config, parameters)
  lines = [
    f'# A variational autoencoder of {_dataset(opened)}',
    '',
    f'{count} parameters after step {opened.step} (epoch {opened.epoch})'
    f'{words}, seed {run.config.run.seed}, trained with vae_jax.',
  ]
  for title, section in sections.items():
    lines += ['', f'## {title}', '', *section]
  return '\n'.join(lines) + '\n'


def _training(opened: Opened) -> Iterable[str]:
  """Yields objective and optimizer in words."""
  record, run = opened.record, opened.run
  yield '```text'
  yield describe(run.config, run.model if record.custom_model else None)
  yield from describe_training(run.config, custom=record.custom_optimizer)
  yield '```'


def _use(opened: Opened, encode: Program, decode: Program) -> Iterable[str]:
  """Yields the arrays of both programs, and code that calls them."""
  yield (
    'It needs jax, numpy and safetensors, and flatbuffers to read programs; '
    f'they run on {", ".join(PLATFORMS)} for a batch of any size N. A program '
    'takes the parameters and a dict of arrays, and returns a dict.'
  )
  yield ''
  yield from _table('encode', encode)
  yield from _table('decode', decode)
  yield from _notes(opened, encode)
  yield ''
  yield _LOAD.format(
    weights=WEIGHTS,
    encode=ENCODE,
    decode=DECODE,
    body=_body(encode, decode),
  )


def _dataset(opened: Opened) -> str:
  """Returns the name of the data set; of a file without its folder."""
  return pathlib.Path(opened.run.config.data.dataset).name


def _numbers(opened: Opened, parameters: str) -> Iterable[str]:
  """Yields the test metrics of the report, if they are of these parameters."""
  found = opened.run.metrics
  is_other = is_raw(opened.run.config, parameters)
  if found is None or found.get('step') != opened.step or is_other:
    yield (
      f'Not measured at this step. `{command("train")}` with the options of '
      f'the run, or `{command("evaluate")}`, measures it.'
    )
    return
  given = ' of x given y' if opened.run.condition else ''
  error = found.get('nll_standard_error')
  spread = '' if error is None else f' ± {error:.3f}'
  yield (
    f'- NLL{given}: {found["nll"]:.3f}{spread} nats '
    f'(K = {found["nll_num_samples"]} importance samples; an upper bound in '
    'expectation)'
  )
  error = found.get('elbo_standard_error')
  spread = '' if error is None else f' ± {error:.3f}'
  yield f'- ELBO{given}: {found["elbo"]:.3f}{spread} nats'
  if 'active_units' in found:
    yield f'- active units: {found["active_units"]} of {found["latent_units"]}'
  yield '- ± is the standard error of the mean over the test examples'


def _data(opened: Opened) -> Iterable[str]:
  run = opened.run
  size = ' x '.join(map(str, run.data_shape))
  support = LIKELIHOODS[run.config.model.likelihood].support
  yield f'- `{_dataset(opened)}`, examples of {size}'
  yield f'- x as the programs take it: {support}, floating point'
  if run.config.data.binarisation != 'none' and support == '0 and 1':
    yield '- grey pixels are binarised before: x ~ Bernoulli(pixel / 255)'
  elif support in ('8-bit pixels', 'numbers in [0, 1]'):
    yield '- 8-bit pixels are divided by 255 before'
  if run.statistics is not None:
    numbers = run.statistics.record()
    yield f'- x is standardised before, (x - mean) / scale: `{numbers}`'
  if run.condition is not None and run.condition.classes:
    yield (
      f'- y is the index of a class in `{list(run.condition.classes)}`, int32'
    )
  elif run.condition is not None:
    numbers = run.condition.record()
    yield f'- y are covariates, (y - mean) / scale: `{numbers}`'
  for split, digest in (opened.record.data_digests or {}).items():
    yield f'- SHA-256 of the {split} split: `{digest}`'


def _options(opened: Opened) -> dict[str, Any]:
  """Returns the options of the run, without the places of its machine."""
  found = opened.record.options()
  kept = {k: x for k, x in found.items() if k not in _PLACES}
  return kept | {'dataset': _dataset(opened)}


def _table(name: str, program: Program) -> Iterable[str]:
  """Yields a Markdown table of the arrays of a program."""
  yield f'`{name}`:'
  yield ''
  yield '| array | shape | dtype | |'
  yield '|---|---|---|---|'
  for role, arrays in (('in', program.inputs), ('out', program.outputs)):
    for key, x in arrays.items():
      size = ', '.join(['N', *map(str, x.shape)])
      yield f'| `{key}` | ({size}) | {x.dtype} | {role} |'
  yield ''


def _notes(opened: Opened, encode: Program) -> Iterable[str]:
  if any(name.startswith(_NOISE) for name in encode.inputs):
    known = (
      'standard normal'
      if encode.noise_is_normal
      else f'that of the family {encode.family} in vae_jax, not standard normal'
    )
    yield (
      'z = g(phi, noise) is a draw of q(z|x) where the noise is a draw of '
      f'p(noise), which has no parameter: {known}.'
    )
  else:
    yield (
      'The draws of q(z|x) are no function of a noise without parameters, so '
      'the encoder returns parameters, from which you draw.'
    )
  yield (
    '`mean` of decode is E[x|z]; arrays `likelihood_...` are the parameters '
    'of p(x|z).'
  )
  if opened.run.config.data.num_labelled:
    yield 'The classifier q(y|x) is in the parameters, without a program.'


def _body(encode: Program, decode: Program) -> str:
  """Returns lines of code that call both programs on eight examples."""

  def made(name: str, x: Any) -> str:
    size = ', '.join(['8', *map(str, x.shape)])
    dtype = f'np.{"bool_" if x.dtype == bool else x.dtype}'
    size = f'({size})' if x.shape else '(8,)'
    if name.startswith(_NOISE) and encode.noise_is_normal:
      return f"'{name}': rng.normal(size={size}).astype({dtype})"
    whole = 'ones' if name in ('mask', 'size') else 'zeros'
    return f"'{name}': np.{whole}({size}, {dtype})"

  inputs = ',\n  '.join(made(k, x) for k, x in encode.inputs.items())
  sources = [
    f"'{k}': encoded['{k}']" if k in encode.outputs else made(k, x)
    for k, x in decode.inputs.items()
  ]
  joined = ',\n  '.join(sources)
  return (
    f'encoded = encode.call(params, {{\n  {inputs},\n}})\n'
    f'decoded = decode.call(params, {{\n  {joined},\n}})'
  )
