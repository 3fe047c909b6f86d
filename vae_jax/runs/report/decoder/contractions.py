"""Lowering of matrix products and convolutions."""

import math
from typing import Any

from vae_jax.runs.report.decoder.emitter import Emitter, UnsupportedError


def dot(
  e: Emitter, params: dict[str, Any], x: list[int], out: list[Any]
) -> list[int]:
  """Matrix products `[B, M, K]` times `[B, K, N]`."""
  (left, right), (batch, other_batch) = params['dimension_numbers']
  sizes = lambda x, axes: [e.shapes[x][i] for i in axes]
  a, b = x
  free = lambda x, used: [i for i in range(len(e.shapes[x])) if i not in used]
  rows, columns = free(a, (*left, *batch)), free(b, (*right, *other_batch))
  b_, m, n, k = (
    math.prod(each)
    for each in (
      sizes(a, batch),
      sizes(a, rows),
      sizes(b, columns),
      sizes(a, left),
    )
  )
  a = e.transpose(a, [*batch, *rows, *left])
  b = e.transpose(b, [*other_batch, *right, *columns])
  return [e.add('matmul', [a, b], out[0].shape, b=b_, m=m, n=n, k=k)]


def convolution(
  e: Emitter, params: dict[str, Any], x: list[int], out: list[Any]
) -> list[int]:
  """Convolutions of `[N, H, W, C]` by `[H, W, I, O]`."""
  if params['feature_group_count'] != 1 or params['batch_group_count'] != 1:
    raise UnsupportedError('a convolution of groups')
  lhs, rhs, result = params['dimension_numbers']
  if len(lhs) != 4:
    raise UnsupportedError('a convolution that is not of images')
  image = e.transpose(x[0], [lhs[0], *lhs[2:], lhs[1]])
  kernel = e.transpose(x[1], [*rhs[2:], rhs[1], rhs[0]])
  shape = [out[0].shape[i] for i in (result[0], *result[2:], result[1])]
  y = e.add(
    'convolution',
    [image, kernel],
    shape,
    image=[*e.shapes[image]],
    kernel=[*e.shapes[kernel]],
    dims=shape,
    stride=[*params['window_strides']],
    padding=[low for low, _ in params['padding']],
    spread=[*params['lhs_dilation']],
    dilation=[*params['rhs_dilation']],
  )
  order = [result[0], *result[2:], result[1]]
  return [e.transpose(y, [order.index(i) for i in range(4)])]
