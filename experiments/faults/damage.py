"""Corrupted checkpoint files: bit flips and truncation."""

import collections
import logging
import pathlib
import random
import shutil
import tempfile
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from vae_jax.io import checkpoint
from vae_jax.runs.config import Config
from vae_jax.runs.recipe import make_run

# (content, randomness) -> damaged content
Change = Callable[[bytes, random.Random], bytes]


def flip(content: bytes, randomness: random.Random) -> bytes:
  """Returns the content with one random bit flipped."""
  damaged = bytearray(content)
  damaged[randomness.randrange(len(content))] ^= 1 << randomness.randrange(8)
  return bytes(damaged)


def truncate(content: bytes, randomness: random.Random) -> bytes:
  """Returns the content truncated at a random byte."""
  return content[: randomness.randrange(len(content))]


def inject(
  config: Config,
  checkpoints: pathlib.Path,
  change: Change,
  count: int,
  randomness: random.Random,
) -> dict[str, int]:
  """Damages a copy of the newest checkpoint `count` times, one at a time.

  Returns:
    Counts by outcome: 'fell back' to the older checkpoint, 'refused' to
    restore any, 'harmless' (equal arrays restored) or 'silent' (different
    arrays restored).
  """
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    target = jax.eval_shape(make_run(config).recipe.init)
    newest = checkpoint.steps(checkpoints)[-1]
    for path in checkpoints.glob('step_*'):
      shutil.copy(path, folder)
    good = checkpoint.restore(folder, newest, target)
    victims = sorted(folder.glob(f'step_{newest:09d}.*'))
    found: collections.Counter[str] = collections.Counter()
    logging.disable(logging.WARNING)
    try:
      for _ in range(count):
        # Manifest and arrays with equal probability: the manifest is small.
        path = randomness.choice(victims)
        content = path.read_bytes()
        path.write_bytes(change(content, randomness))
        found[_outcome(folder, newest, target, good)] += 1
        path.write_bytes(content)
    finally:
      logging.disable(logging.NOTSET)
  return collections.Counter(found)


def _outcome(folder: pathlib.Path, newest: int, target: Any, good: Any) -> str:
  try:
    step, tree = checkpoint.restore_latest(folder, target)
  except checkpoint.CheckpointError:
    return 'refused'
  if step != newest:
    return 'fell back'
  same = jax.tree.map(lambda a, b: bool(np.array_equal(a, b)), tree, good)
  return 'harmless' if all(jax.tree.leaves(same)) else 'silent'


def count_different_arrays(a: pathlib.Path, b: pathlib.Path) -> int:
  """Counts the arrays in which the newest checkpoints of two runs differ."""
  steps = [checkpoint.steps(folder)[-1] for folder in (a, b)]
  paths = [
    folder / f'step_{step:09d}.npz'
    for folder, step in zip((a, b), steps, strict=True)
  ]
  with np.load(paths[0]) as ours, np.load(paths[1]) as theirs:
    names = set(ours) | set(theirs)
    return sum(
      name not in ours
      or name not in theirs
      or ours[name].tobytes() != theirs[name].tobytes()
      for name in names
    )
