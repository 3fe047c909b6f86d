"""The table of a code: bytes and nats beside the negative ELBO."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

_NATS_PER_BIT = math.log(2)


class Measured(NamedTuple):
  """Lengths of the code of N examples.

  Attributes:
    file_bytes: size of the file.
    header_bytes: size of its header.
    initial_bits: bits from which the first z was decoded.
    bits: growth of the stack by each example, `[N]`.
    elbos: ELBO of each example, `[N]`, in nats.
    log_weights: log p(x, z) - log q(z|x) at the coded z, `[N]`, in nats.
    others: name of another compressor -> its bytes.
  """

  file_bytes: int
  header_bytes: int
  initial_bits: int
  bits: np.ndarray
  elbos: np.ndarray
  log_weights: np.ndarray
  others: Mapping[str, int]


def table(found: Measured) -> str:
  """Returns the lines that are printed.

  The ratio to the ELBO has a standard error, because a code has one z per
  example and the ELBO is a mean over z. At the z of the code itself there is
  no such error: what is left are the buckets and the rounded frequencies.

  Args:
    found: lengths of a code.
  """
  count, nats = len(found.bits), found.bits * _NATS_PER_BIT
  row = lambda name, size: (
    f'  {name:<27}{size / 8:>11,.0f} {size * _NATS_PER_BIT:>14,.1f} '
    f'{size * _NATS_PER_BIT / count:>12.3f}'
  )
  total = -float(np.sum(found.elbos))
  lines = [
    f'  {"":<27}{"bytes":>11} {"nats":>14} {"per example":>12}',
    row('file', 8 * found.file_bytes),
    row('- header', 8 * found.header_bytes),
    row('- initial bits, needed once', found.initial_bits),
    row('= examples', float(np.sum(found.bits))),
    row('negative ELBO', total / _NATS_PER_BIT),
    row(
      'log q(z|x)/p(x, z), coded z',
      -float(np.sum(found.log_weights)) / _NATS_PER_BIT,
    ),
    *(row(name, 8 * size) for name, size in found.others.items()),
  ]
  error = np.std(nats + found.elbos, ddof=min(1, count - 1)) * math.sqrt(count)
  lines += [
    f'Ratio of the examples to the negative ELBO: {np.sum(nats) / total:.4f} '
    f'+- {error / total:.4f}, to the length at the coded z: '
    f'{np.sum(nats) / -float(np.sum(found.log_weights)):.5f}',
  ]
  return '\n'.join(lines)
