"""Bits-back coding of discrete data with a stack of ANS (BB-ANS).

For each example the encoder decodes z ~ q(z|x) from the stack, then encodes x
with p(x|z) and z with p(z). The stack grows by

  log q(z|x) - log p(x|z) - log p(z)

whose mean over z ~ q is the negative ELBO. The decoder inverts these steps in
the opposite order. The first example needs initial bits, from which z is
decoded; the decoder returns them.

Only random bits decode to z ~ q. The next z is decoded from the bits of the
last, which are not random where the aggregate posterior differs from p(z). As
the buckets have equal mass, z is encoded with a pseudo-random cyclic shift of
its bucket: the length stays and the bits become random.

References:
  Townsend, Bird and Barber 2019, Practical lossless compression with latent
  variables using bits back coding, section 2.
"""

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from vae_jax.errors import UserError, needs
from vae_jax.runs.compress import buckets

# Seed of the initial bits, which are equal in encoder and decoder.
_SEED = 20190115
_WORD = 32


class Codec(NamedTuple):
  """Tables of probabilities of one example, equal in encoder and decoder.

  Attributes:
    posterior: symbols x, `[D]`, -> mean and log of the standard deviation of
      q(z|x), `[Z]` each.
    likelihood: buckets of z, `[Z]`, -> p(x = 1 | z), `[D]`, or p(x = k | z),
      `[D, levels]`.
    num_latents: number of latent dimensions, Z.
    latent_bits: log2 of the number of buckets per latent dimension.
  """

  posterior: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
  likelihood: Callable[[np.ndarray], np.ndarray]
  num_latents: int
  latent_bits: int


class Coded(NamedTuple):
  """Result of the encoder.

  Attributes:
    words: the stack, initial words included, `[W]` uint32.
    num_initial: number of the initial words, which is the least possible.
    bits: growth of the stack by each example, `[N]`.
    buckets: buckets of z of each example, `[N, Z]`.
  """

  words: np.ndarray
  num_initial: int
  bits: np.ndarray
  buckets: np.ndarray


class DamagedError(ValueError):
  """A stack that this codec did not write."""


def encode(codec: Codec, symbols: np.ndarray) -> Coded:
  """Encodes examples; a stack that runs empty starts again with more bits.

  Args:
    codec: tables of probabilities.
    symbols: examples, `[N, D]` int32.

  Raises:
    UserError: no ANS library, or probabilities that are not finite.
  """
  # A symbol takes at most the precision of the frequencies, 24 bits, and a
  # bucket is coded by two symbols.
  most = 2 * codec.num_latents + 2
  supply = 2 * most
  while (found := _encode(codec, symbols, supply, most)) is None:
    supply *= 2
  return found


def _encode(
  codec: Codec, symbols: np.ndarray, supply: int, most: int
) -> Coded | None:
  """Encodes with a supply of initial words; None where it may not suffice."""
  ans = _library()
  # Words below the lowest position are never read: they are left out.
  coder = ans.stream.stack.AnsCoder(_initial_words(supply))
  sizes, lowest = [coder.num_valid_bits()], supply
  latents: list[np.ndarray] = []
  for x in symbols:
    if coder.num_words() < most:
      return None
    z = _pop_posterior(ans, coder, codec, x)
    lowest = min(lowest, coder.pos()[0])
    _push(ans, coder, x, codec.likelihood(z))
    _push_prior(ans, coder, z, codec.latent_bits, len(latents))
    sizes.append(coder.num_valid_bits())
    latents.append(z)
  return Coded(
    words=coder.get_compressed()[lowest:],
    num_initial=supply - lowest,
    bits=np.diff(sizes),
    buckets=np.array(latents),
  )


def decode(
  codec: Codec, words: np.ndarray, num_initial: int, count: int
) -> np.ndarray:
  """Decodes examples, and checks that the initial words are returned.

  Args:
    codec: tables of probabilities, equal to those of the encoder.
    words: the stack.
    num_initial: number of initial words.
    count: number of examples, N.

  Returns:
    The examples, `[N, D]` int32.

  Raises:
    DamagedError: the stack runs empty, or ends in other words.
    UserError: no ANS library, or probabilities that are not finite.
  """
  ans = _library()
  if not (words.size and words[-1]):
    raise DamagedError('the last word is zero')
  coder = ans.stream.stack.AnsCoder(words)
  found: list[np.ndarray] = []
  for index in reversed(range(count)):
    z = _pop_prior(ans, coder, codec.num_latents, codec.latent_bits, index)
    x = _pop(ans, coder, codec.likelihood(z))
    _push_posterior(ans, coder, codec, x, z)
    if coder.num_words() < 2:
      raise DamagedError(f'the bits end after {len(found)} examples')
    found.append(x)
  rest = coder.get_compressed()
  if rest.size != num_initial or (rest != _initial_words(rest.size)).any():
    raise DamagedError('other bits than the initial ones remain')
  return np.array(found[::-1])


def initial_bits(num_initial: int) -> int:
  """Returns the bits of the initial words, without leading zeros."""
  coder = _library().stream.stack.AnsCoder(_initial_words(num_initial))
  return coder.num_valid_bits()


def _library() -> Any:
  """Returns the ANS library; raises `UserError` without it."""
  with needs('compress'):
    return importlib.import_module('constriction')


def _initial_words(count: int) -> np.ndarray:
  """Returns the random words, of which the last is the top of the stack."""
  # The raw stream of a bit generator is the same in all versions of NumPy.
  raw = np.random.PCG64(_SEED).random_raw(count)
  return (raw >> np.uint64(_WORD)).astype(np.uint32)[::-1].copy()


def _family(ans: Any, table: np.ndarray) -> Any:
  """Returns the family of symbols: bits `[D]`, or levels `[D, levels]`."""
  # The library stops the whole process at a probability of nan.
  if not np.isfinite(table).all():
    raise UserError(
      'compress: got probabilities that are not finite, expected those of a '
      'trained run. Use another --checkpoint'
    )
  model = ans.stream.model
  kind = model.Bernoulli if table.ndim == 1 else model.Categorical
  return kind(perfect=False)


def _pop(ans: Any, coder: Any, table: np.ndarray) -> np.ndarray:
  return coder.decode(_family(ans, table), table)


def _push(ans: Any, coder: Any, symbols: np.ndarray, table: np.ndarray) -> None:
  coder.encode_reverse(symbols, _family(ans, table), table)


def _pop_posterior(
  ans: Any, coder: Any, codec: Codec, x: np.ndarray
) -> np.ndarray:
  q, bits = codec.posterior(x), codec.latent_bits
  group = _pop(ans, coder, buckets.group_masses(*q, bits))
  place = _pop(ans, coder, buckets.masses_within(*q, bits, group))
  return group * buckets.group_size(bits) + place


def _push_posterior(
  ans: Any, coder: Any, codec: Codec, x: np.ndarray, z: np.ndarray
) -> None:
  q, bits = codec.posterior(x), codec.latent_bits
  group, place = np.divmod(z, np.int32(buckets.group_size(bits)))
  _push(ans, coder, place, buckets.masses_within(*q, bits, group))
  _push(ans, coder, group, buckets.group_masses(*q, bits))


def _pop_prior(
  ans: Any, coder: Any, count: int, bits: int, index: int
) -> np.ndarray:
  shifted = coder.decode(ans.stream.model.Uniform(2**bits), count)
  return (shifted - _shift(count, bits, index)) % np.int32(2**bits)


def _push_prior(
  ans: Any, coder: Any, z: np.ndarray, bits: int, index: int
) -> None:
  shifted = (z + _shift(len(z), bits, index)) % np.int32(2**bits)
  coder.encode_reverse(shifted, ans.stream.model.Uniform(2**bits))


def _shift(count: int, bits: int, index: int) -> np.ndarray:
  """Returns the shift of the buckets of one example, `[count]` int32."""
  raw = np.random.PCG64([_SEED, index]).random_raw(count)
  return (raw >> np.uint64(64 - bits)).astype(np.int32)
