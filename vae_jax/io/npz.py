"""Arrays as .npz files, written atomically."""

import io
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from vae_jax.io import files


def write_npz(path: pathlib.Path, arrays: Mapping[str, Any]) -> pathlib.Path:
  """Writes named arrays, and returns the path.

  Args:
    path: file to write.
    arrays: name -> array of numbers or texts; an object would be pickled.

  Raises:
    TypeError: an array of Python objects.
    UserError: the folder was moved.
    WriteError: the file cannot be written.
  """
  found: dict[str, Any] = {name: np.asarray(x) for name, x in arrays.items()}
  for name, x in found.items():
    if x.dtype.hasobject:
      raise TypeError(f'{name} consists of Python objects')
  content = io.BytesIO()
  np.savez(content, **found)
  files.write(path, content.getvalue())
  return path
