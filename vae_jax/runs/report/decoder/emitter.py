"""Operations of a program, their shapes and their constants."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

Op = dict[str, Any]
Shape = tuple[int, ...]


class UnsupportedError(ValueError):
  """A function that the page cannot compute; a clause with the reason."""


class Emitter:
  """Operations, with the shapes and constants of their values.

  Attributes:
    shapes: shape of each value, by number.
    constants: constants by number.
    ops: operations in order.
  """

  def __init__(self) -> None:
    self.shapes: list[Shape] = []
    self.constants: dict[int, np.ndarray] = {}
    self.ops: list[Op] = []

  def new(self, shape: Sequence[int]) -> int:
    """Adds a value."""
    self.shapes.append(tuple(shape))
    return len(self.shapes) - 1

  def constant(self, value: Any) -> int:
    """Adds a constant."""
    number = self.new(np.shape(value))
    self.constants[number] = np.asarray(value)
    return number

  def add(
    self, name: str, inputs: Sequence[int], shape: Sequence[int], **params: Any
  ) -> int:
    """Adds an operation of one output, of this shape."""
    number = self.new(shape)
    size = math.prod(shape)
    op = {'op': name, 'in': [*inputs], 'out': [number], 'size': size}
    self.ops.append({**op, **params})
    return number

  def reshape(self, x: int, shape: Sequence[int]) -> int:
    """Returns the value in another shape."""
    if tuple(shape) == self.shapes[x]:
      return x
    if x in self.constants:
      return self.constant(self.constants[x].reshape(shape))
    return self.add('same', [x], shape)

  def view(
    self, x: int, shape: Sequence[int], strides: Sequence[int], offset: int = 0
  ) -> int:
    """Returns a strided view, in elements of a row-major array."""
    shape, strides = (list(map(int, each)) for each in (shape, strides))
    offset = int(offset)
    whole = math.prod(shape) == math.prod(self.shapes[x])
    if whole and not offset and _is_contiguous(shape, strides):
      return self.reshape(x, shape)
    # Repeated elements of a constant would take bytes of the page.
    if x in self.constants and math.prod(shape) <= self.constants[x].size:
      flat = np.ascontiguousarray(self.constants[x]).reshape(-1)
      steps = [each * flat.itemsize for each in strides]
      return self.constant(as_strided(flat[offset:], shape, steps).copy())
    params = {'strides': strides, 'offset': offset}
    return self.add('view', [x], shape, dims=shape, **params)

  def stretch(
    self, x: int, shape: Sequence[int], axes: Sequence[int] | None = None
  ) -> int:
    """Repeats the value along axes of size 1, or that are not in `axes`."""
    own, strides = self.shapes[x], [0] * len(shape)
    places = range(len(shape)) if axes is None else axes
    for axis, size, step in zip(places, own, row_major(own), strict=True):
      strides[axis] = step if size > 1 else 0
    return self.view(x, shape, strides)

  def transpose(self, x: int, axes: Sequence[int]) -> int:
    """Returns the value with its axes permuted."""
    shape, steps = self.shapes[x], row_major(self.shapes[x])
    return self.view(x, [shape[i] for i in axes], [steps[i] for i in axes])


def row_major(shape: Sequence[int]) -> list[int]:
  """Returns the strides of a row-major array, in elements."""
  return [math.prod(shape[i + 1 :]) for i in range(len(shape))]


def _is_contiguous(shape: Sequence[int], strides: Sequence[int]) -> bool:
  usual = row_major(shape)
  triples = zip(shape, strides, usual, strict=True)
  return all(size == 1 or a == b for size, a, b in triples)
