"""The command `compress`: bits-back coding of examples, and its inverse."""

import bz2
import gzip
import pathlib

import jax
import numpy as np

from vae_jax.errors import UserError
from vae_jax.evaluate import evaluation_keys
from vae_jax.evaluate.elbo import make_evaluate_elbo
from vae_jax.io import files
from vae_jax.io.npz import write_npz
from vae_jax.runs.after.opened import Opened, load_examples, open_run
from vae_jax.runs.compress import bits_back, buckets, container, of_model
from vae_jax.runs.compress.bits_back import Codec, Coded
from vae_jax.runs.compress.container import Container
from vae_jax.runs.compress.table import Measured, table
from vae_jax.runs.config.use import CompressConfig

# Draws of z per example of the ELBO that the code length is compared with.
_ELBO_DRAWS = 32


@jax.transfer_guard('allow')
def compress(options: CompressConfig) -> pathlib.Path:
  """Compresses examples with a trained model, or decompresses a file.

  The bits are `compressed.bits`, from which the examples are decompressed and
  compared before the code length is printed beside the negative ELBO. With
  `--decompress` they are `decompressed.npz`, of an array x `[N, ...]` of bits
  or levels from 0 to 255.

  Decompression needs probabilities that are equal to the last bit. Both
  directions run the same programs on one example at a time, on one machine
  with the same versions of its libraries; digests in the header of the file
  refuse another machine, other versions and other parameters.

  Args:
    options: options of the command.

  Returns:
    The file.

  Raises:
    UserError: no trained run, a model that is not admitted, no ANS library,
      no suitable data, or a file that cannot be decompressed.
  """
  if options.decompress:
    return _decompress(options)
  opened = open_run(options, 'compressed')
  codec = _codec(opened, options.latent_bits)
  run, shape = opened.run, opened.run.data_shape
  found = load_examples(opened, options, options.num_examples)
  binary = _is_binary(opened)
  symbols = of_model.to_symbols(found.x, binary)
  coded = bits_back.encode(codec, symbols)
  path = opened.path(_name(options))
  content = Container(
    latent_bits=options.latent_bits,
    num_examples=len(symbols),
    num_initial=coded.num_initial,
    of_params=of_model.digest_of_params(run.params),
    of_tables=of_model.digest_of_tables(codec, shape),
    of_symbols=container.digest(symbols.astype(np.uint8).tobytes()),
    words=coded.words,
  )
  files.write(path, container.pack(content))
  decoded = _decode(path, container.read(path), codec)
  if not np.array_equal(decoded, symbols):
    raise container.damaged(path, 'other examples')
  kind = 'bits' if binary else '8-bit levels'
  print(f'{found.words}: {symbols.shape[1]} {kind} each', flush=True)
  print(table(_measure(opened, codec, coded, symbols, found.x)))
  print(f'Decompressed: all {len(symbols)} examples are equal bit for bit')
  print(f'Files: {path}')
  return path


def _decompress(options: CompressConfig) -> pathlib.Path:
  """Decompresses a file into `decompressed.npz`."""
  source = pathlib.Path(options.decompress).expanduser()
  content = container.read(source)
  opened = open_run(options, 'compressed')
  codec = _codec(opened, content.latent_bits)
  shape = opened.run.data_shape
  if content.of_params != of_model.digest_of_params(opened.run.params):
    raise UserError(
      f'--decompress={source}: got a file of other parameters than those of '
      f'{opened.folder.path}, expected the same. Name its run in --workdir, '
      'and its --checkpoint and --parameters'
    )
  if content.of_tables != of_model.digest_of_tables(codec, shape):
    raise UserError(
      f'--decompress={source}: got other probabilities than those it was '
      'written with, expected the same to the last bit. Use the machine and '
      'the versions that wrote it'
    )
  symbols = _decode(source, content, codec).astype(np.uint8)
  path = opened.path('decompressed.npz')
  write_npz(path, {'x': symbols.reshape(len(symbols), *shape)})
  print(f'Decompressed: {len(symbols)} examples, equal to the digest')
  print(f'Files: {path}')
  return path


def _codec(opened: Opened, latent_bits: int) -> Codec:
  """Returns the codec of a run; raises `UserError` where it has none."""
  run = opened.run
  x: object = np.zeros(run.data_shape, np.float32)
  if run.condition is not None or run.config.data.missing == 'mask':
    x = {'x': x}
  of_model.check_codable(run.model, run.params, x)
  return of_model.make_codec(
    run.model, run.params, run.data_shape, latent_bits=latent_bits
  )


def _is_binary(opened: Opened) -> bool:
  run = opened.run
  return of_model.is_binary(run.model, run.params, np.zeros(run.data_shape))


def _decode(path: pathlib.Path, content: Container, codec: Codec) -> np.ndarray:
  """Decodes the examples of a file, and compares them with their digest."""
  try:
    symbols = bits_back.decode(
      codec, content.words, content.num_initial, content.num_examples
    )
  except bits_back.DamagedError as error:
    raise container.damaged(path, str(error)) from None
  if container.digest(symbols.astype(np.uint8).tobytes()) != content.of_symbols:
    raise container.damaged(path, 'examples of another digest')
  return symbols


def _name(options: CompressConfig) -> str:
  """Returns the name of the file: other data have another one."""
  name = 'compressed'
  if options.dataset:
    name += f'_{pathlib.Path(options.dataset).stem}'
  if not options.dataset.endswith('.npz') and options.split != 'test':
    name += f'_{options.split}'
  return f'{name}.bits'


def _measure(
  opened: Opened,
  codec: Codec,
  coded: Coded,
  symbols: np.ndarray,
  x: np.ndarray,
) -> Measured:
  """Measures a code beside the ELBO and general-purpose compressors."""
  run = opened.run
  evaluate_elbo = make_evaluate_elbo(run.model)
  keys = jax.random.split(evaluation_keys().elbo, _ELBO_DRAWS)
  elbos = np.mean(
    [np.asarray(evaluate_elbo(key, run.params, x).elbo) for key in keys], axis=0
  )
  z = buckets.centres(codec.latent_bits)[coded.buckets]
  log_weights = of_model.coded_log_weights(
    run.model, run.params, run.data_shape, symbols, z
  )
  raw = symbols.astype(np.uint8)
  packed = (np.packbits(raw) if _is_binary(opened) else raw).tobytes()
  return Measured(
    file_bytes=container.HEADER_BYTES + coded.words.nbytes,
    header_bytes=container.HEADER_BYTES,
    initial_bits=bits_back.initial_bits(coded.num_initial),
    bits=coded.bits,
    elbos=elbos,
    log_weights=log_weights,
    others={
      'packed': len(packed),
      'gzip of packed': len(gzip.compress(packed, 9, mtime=0)),
      'bz2 of packed': len(bz2.compress(packed, 9)),
    },
  )
