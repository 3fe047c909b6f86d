"""Results of experiments as JSON files."""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

from vae_jax.io import files


def write_results(path: pathlib.Path, results: Sequence[Any]) -> pathlib.Path:
  """Writes records atomically as a JSON list.

  Args:
    path: File to write.
    results: Named tuples, or other values that JSON can represent.

  Returns:
    `path`.

  Raises:
    ValueError: A number is not finite.
    OSError: The file cannot be written.
  """
  records = [r._asdict() if hasattr(r, '_asdict') else r for r in results]
  files.write_text(path, json.dumps(records, indent=1, allow_nan=False) + '\n')
  return path
