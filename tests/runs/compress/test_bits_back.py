"""Bits-back coding with tables that no network computes."""

import sys

import numpy as np
import pytest
from scipy import stats

from vae_jax.errors import UserError
from vae_jax.runs.compress import bits_back, buckets

BITS, LATENTS, SIZE = 10, 3, 20


@pytest.fixture(autouse=True)
def library():
  """Skips the tests where the optional library is not installed."""
  return pytest.importorskip('constriction')


def moments(x):
  """Returns means and log-scales that depend on x."""
  mean = np.mean(x) - 0.5
  return np.array([mean, 1 - mean, 0.3]), np.array([-1.0, -2.0, 0.1])


def chances(z):
  """Returns P(x = 1 | z)."""
  logits = np.linspace(-2, 2, SIZE) * buckets.centres(BITS)[z].sum()
  return (1 / (1 + np.exp(-logits))).astype(np.float32)


def levels(z):
  """Returns p(x = k | z) over 5 levels."""
  p = np.stack([chances(z) ** k for k in range(5)], axis=1)
  return p / p.sum(axis=1, keepdims=True)


BINARY = bits_back.Codec(moments, chances, LATENTS, BITS)
LEVELS = BINARY._replace(likelihood=levels)


def examples(count, kinds, seed=0):
  draws = np.random.default_rng(seed).integers(kinds, size=(count, SIZE))
  return draws.astype(np.int32)


@pytest.mark.parametrize(('codec', 'kinds'), [(BINARY, 2), (LEVELS, 5)])
def test_round_trip_is_exact(codec, kinds):
  x = examples(40, kinds)
  coded = bits_back.encode(codec, x)
  found = bits_back.decode(codec, coded.words, coded.num_initial, len(x))
  np.testing.assert_array_equal(found, x)


def test_the_stack_grows_by_the_log_weight():
  x = examples(200, 2)
  coded = bits_back.encode(BINARY, x)
  z = buckets.centres(BITS)[coded.buckets]
  length = 0.0
  for x_i, z_i, bucket in zip(x, z, coded.buckets, strict=True):
    loc, log_scale = moments(x_i)
    p = chances(bucket)
    length += stats.norm.logpdf(z_i, loc, np.exp(log_scale)).sum()
    length -= stats.norm.logpdf(z_i).sum()
    length -= np.log(np.where(x_i == 1, p, 1 - p)).sum()
  assert abs(coded.bits.sum() * np.log(2) / length - 1) < 1e-3
  # The first z is decoded from these, at most 10 bits per latent on average.
  assert coded.num_initial <= 2 + LATENTS
  total = bits_back.initial_bits(coded.num_initial) + coded.bits.sum()
  assert 0 <= 32 * len(coded.words) - total < 32


def test_random_bits_decode_to_draws_of_the_posterior():
  # 2,000 draws; a Kolmogorov-Smirnov test of false-alarm rate 1e-6.
  x, ans = examples(1, 2)[0], bits_back._library()
  coder = ans.stream.stack.AnsCoder(bits_back._initial_words(10_000))
  pop = lambda: bits_back._pop_posterior(ans, coder, BINARY, x)
  loc, log_scale = moments(x)
  z = buckets.centres(BITS)[[pop() for _ in range(2000)]]
  z = (z - loc) / np.exp(log_scale)
  for each in z.T:
    assert stats.kstest(each, 'norm').pvalue > 1e-6


def test_latents_of_equal_examples_are_draws_of_the_posterior():
  # Without shifts each z is a function of the last. 2,000 draws, 1e-6.
  x = np.repeat(examples(1, 2), 2000, axis=0)
  coded = bits_back.encode(BINARY, x)
  loc, log_scale = moments(x[0])
  z = (buckets.centres(BITS)[coded.buckets] - loc) / np.exp(log_scale)
  for each in z.T:
    assert stats.kstest(each, 'norm').pvalue > 1e-6


def test_too_few_initial_words_are_not_used():
  x, most = examples(3, 2), 2 * LATENTS + 2
  assert bits_back._encode(BINARY, x, most - 1, most) is None
  assert bits_back._encode(BINARY, x, most, most) is not None


@pytest.mark.parametrize('word', [0, 1, -1])
def test_other_words_are_refused(word):
  x = examples(40, 2)
  coded = bits_back.encode(BINARY, x)
  words = coded.words.copy()
  words[word] ^= 4
  with pytest.raises(bits_back.DamagedError):
    bits_back.decode(BINARY, words, coded.num_initial, len(x))
  with pytest.raises(bits_back.DamagedError):
    bits_back.decode(BINARY, coded.words, coded.num_initial, len(x) + 9)


def test_probabilities_of_nan_are_refused():
  codec = BINARY._replace(likelihood=lambda z: np.full(SIZE, np.nan, 'f4'))
  with pytest.raises(UserError, match='not finite'):
    bits_back.encode(codec, examples(1, 2))


def test_a_missing_library_is_named(monkeypatch):
  monkeypatch.setitem(sys.modules, 'constriction', None)
  with pytest.raises(UserError, match=r'constriction.*pip install'):
    bits_back.encode(BINARY, examples(1, 2))
