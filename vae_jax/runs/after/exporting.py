"""The command `export`: safetensors, programs of jax.export, a model card."""

import importlib
import pathlib

import jax
import numpy as np

from vae_jax.errors import needs
from vae_jax.io import files
from vae_jax.runs.after.model_card import DECODE, ENCODE, WEIGHTS, card
from vae_jax.runs.after.opened import open_run
from vae_jax.runs.after.portable import (
  export_decode,
  export_encode,
  flat_params,
)
from vae_jax.runs.config.use import ExportConfig
from vae_jax.runs.reported import resolve_parameters

CARD = 'README.md'


@jax.transfer_guard('allow')
def export_run(options: ExportConfig) -> list[pathlib.Path]:
  """Exports a trained run; its files need neither vae_jax nor its folder.

  Writes `parameters.safetensors`; `encode.jax` and `decode.jax`, programs of
  jax.export for cpu, cuda and tpu that take a batch of any size; and a model
  card, `README.md`, with the code that loads them.

  Args:
    options: options of the command.

  Returns:
    The files.

  Raises:
    UserError: no trained run, or a library is missing.
  """
  with needs():
    save = importlib.import_module('safetensors.numpy').save
    importlib.import_module('flatbuffers')  # Of jax.export.
  opened = open_run(options, 'export')
  run = opened.run
  encode, decode = export_encode(run), export_decode(run)
  # A view of another order would be saved as its memory lies. The function
  # `ascontiguousarray` would give a scalar an axis.
  weights = {
    name: np.array(x, order='C') for name, x in flat_params(run.params).items()
  }
  about = {'step': str(opened.step), 'dataset': run.config.data.dataset}
  which = resolve_parameters(run.config, options.parameters)
  contents: dict[str, bytes] = {
    WEIGHTS: save(weights, metadata=about),
    ENCODE: encode.content,
    DECODE: decode.content,
    CARD: card(opened, encode, decode, which).encode(),
  }
  paths = []
  for name, content in contents.items():
    path = opened.path(name)
    files.write(path, content)
    paths.append(path)
    print(f'{path}: {len(content)} bytes', flush=True)
  return paths
