"""Random access to the examples of a TFDS split in array_record files."""

import bisect
import itertools
import pathlib
from typing import Any

import numpy as np

from vae_jax.data.split import as_labels
from vae_jax.data.streamed import MAX_EXAMPLES, Rows, Streamed
from vae_jax.errors import ReadError, UserError


def open_split(builder: Any, split: str) -> Streamed:
  """Opens a split; its images are decoded when they are read.

  Args:
    builder: `tfds.builder` of a data set that is prepared.
    split: name of the split, or a part of it such as 'train[:1000]'.

  Raises:
    UserError: it has more examples than rows are numbered.
  """
  source = builder.as_data_source(split=split)
  features, count = builder.info.features, len(source)
  files = builder.info.splits[split].file_instructions
  if count > MAX_EXAMPLES:
    raise UserError(
      f'--dataset={builder.name}: got {count} examples of {split}, expected '
      f'at most {MAX_EXAMPLES}. Use another set'
    )
  where = f'{builder.name}: {split} labels'

  def read(rows: np.ndarray) -> Rows:
    numbers = rows.tolist()
    try:
      # A batched read takes half the time of single reads.
      examples = source.__getitems__(numbers)
    # The C++ and protobuf code of the reader raises exceptions of many types.
    except Exception as error:
      path = _bad_file(source, files, numbers)
      reason = ' '.join(str(error).split())[:200]
      raise ReadError(
        f'{path}: cannot be read; it may be damaged ({type(error).__name__}: '
        f'{reason}). Prepare the data set again, or restore the file'
      ) from None
    images = np.stack([example['image'] for example in examples])
    if 'label' not in features:
      return Rows(images, None)
    labels = np.array([example['label'] for example in examples])
    return Rows(images, as_labels(where, labels, len(labels)))

  return Streamed(read, (count, *features['image'].shape))


def _bad_file(source: Any, files: Any, numbers: list[int]) -> str:
  """Returns the file in which a read failed; else the folder of all."""
  ends = list(itertools.accumulate(each.take for each in files))
  for number in numbers:
    try:
      source.__getitems__([number])
    except Exception:
      return str(files[bisect.bisect_right(ends, number)].filename)
  return str(pathlib.Path(files[0].filename).parent)
