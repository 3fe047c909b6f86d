"""Command-line flags generated from the fields of a config dataclass."""

import os
import re
import sys
import textwrap
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

import jax
from absl import flags

from vae_jax.errors import UserError, command
from vae_jax.io import signals, terminal
from vae_jax.runs.config.options import flag_of, option_fields
from vae_jax.runs.flag_parsers import PARSERS, TEXTS
from vae_jax.runs.flag_values import FlagValues
from vae_jax.runs.hints import unknown_flag

ConfigT = TypeVar('ConfigT')


_HELP = ('--help', '-help', '-h', '-?', '--helpfull', '--helpshort')

_LIBRARY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# Columns of the help text.
_COLUMNS = 80


def _serialise(value: Any) -> str:
  if isinstance(value, tuple):
    return ','.join(map(str, value))
  return str(value)


def _define(config_class: type) -> flags.FlagValues:
  values = FlagValues()
  for field in option_fields(config_class):
    kind = type(field.default)
    texts = field.metadata.get('item') is str
    flag = flags.Flag(
      TEXTS if texts else PARSERS[kind],
      None,
      flag_of(field),
      field.default,
      field.metadata['help'],
      boolean=kind is bool,
    )
    flags.DEFINE_flag(flag, values)
  return values


def help_text(config_class: type, command: str) -> str:
  """Returns the flags by group, with default, meaning and unit."""
  groups: dict[str, list[str]] = {}
  fields = option_fields(config_class)
  names = {f.name: f'  --{flag_of(f)}={_serialise(f.default)}' for f in fields}
  width = max(map(len, names.values()))
  for field in fields:
    choices = field.metadata.get('choices', ())
    notes = [field.metadata['help']]
    if choices:
      notes.append(f'[{" | ".join(choices)}]')
    if 'unit' in field.metadata:
      notes.append(f'({field.metadata["unit"]})')
    lines = textwrap.wrap(
      ' '.join(notes),
      _COLUMNS,
      initial_indent=f'{names[field.name]:<{width}}  ',
      subsequent_indent=' ' * (width + 2),
    )
    groups.setdefault(field.metadata['group'], []).extend(lines)
  lines = [f'Usage: {command} [--flag=value ...]   (defaults are shown)']
  for group, members in groups.items():
    lines += ['', group, *members]
  return '\n'.join(lines)


def parse(
  config_class: type[ConfigT],
  argv: Sequence[str],
  epilogue: Callable[[], str] | None = None,
) -> ConfigT:
  """Parses the command line into a valid config.

  Args:
    config_class: dataclass whose options, also of nested parts, are the flags.
    argv: name of the program, then its arguments.
    epilogue: makes a text that `--help` prints last; None for no text.

  Returns:
    An instance of `config_class`.

  Raises:
    UserError: an unknown flag (with the nearest names), a value that is not a
      number or out of bounds, a stray positional argument, a flagfile that is
      not text.
    SystemExit: with code 0 after printing the help text of `--help`.
  """
  _help(config_class, argv, '', epilogue)
  values = _define(config_class)
  positional = _read(config_class, values, argv)
  if positional:
    raise _stray(values, positional[0])
  return _make(config_class, values)


def _make(config_class: type[ConfigT], values: flags.FlagValues) -> ConfigT:
  given = values.flag_values_dict()
  fields = option_fields(config_class)
  return config_class(**{field.name: given[flag_of(field)] for field in fields})


def parse_with_names(
  config_class: type[ConfigT], argv: Sequence[str], *, are_paths: bool = False
) -> tuple[ConfigT, list[str]]:
  """Parses a command line such as `NAME --flag=value NAME`.

  Args:
    config_class: as for `parse`.
    argv: as for `parse`.
    are_paths: whether names are paths, such as runs/latent_dim=2.

  Returns:
    (config, names), from arguments as those of `parse`.

  Raises:
    UserError, SystemExit: as `parse`; `flag=value` is not a name. A path may
      have the form, but not with a flag of this command.
  """
  _help(config_class, argv, ' NAME ...')
  values = _define(config_class)
  values.set_gnu_getopt(True)
  names = _read(config_class, values, argv)
  for name in names:
    start, equals, _ = name.partition('=')
    if equals and (start in values or not are_paths):
      raise _stray(values, name)
  return _make(config_class, values), names


def _help(
  config_class: type,
  argv: Sequence[str],
  names: str,
  epilogue: Callable[[], str] | None = None,
) -> None:
  """Prints the help text and exits with 0 if the arguments ask for it."""
  if not any(argument in _HELP for argument in argv[1:]):
    return
  name = os.path.splitext(os.path.basename(argv[0]))[0]
  print(help_text(config_class, command(name) + names))
  if epilogue:
    print(f'\n{epilogue()}')
  raise SystemExit(0)


def _read(
  config_class: type, values: flags.FlagValues, argv: Sequence[str]
) -> list[str]:
  """Sets the flags, and returns the positional arguments."""
  try:
    return values(list(argv))[1:]
  except flags.UnrecognizedFlagError as error:
    raise unknown_flag(config_class, error.flagname) from None
  except flags.Error as error:
    raise UserError(_in_words(error)) from None
  except (RecursionError, ValueError) as error:
    reason = 'files nested without end'
    if not isinstance(error, RecursionError):
      reason = 'a file that is not text'
    raise UserError(
      f'--flagfile: got {reason}, expected a text file with one --flag=value '
      'per line'
    ) from None


def _stray(values: flags.FlagValues, argument: str) -> UserError:
  """Returns the error of a positional argument."""
  name, _, value = argument.partition('=')
  advice = 'give options as --flag=value'
  if value and name in values:
    advice = f'did you mean --{argument}?'
  return UserError(f'stray argument {argument!r}: {advice}')


def _in_words(error: flags.Error) -> str:
  """Returns the message of absl in one line, as ours: got A, expected B."""
  line = ' '.join(str(error).split()).removeprefix('ERROR:: ')
  pattern = r'flag (--\w+)=(.*): (expected .*)'
  found = re.fullmatch(pattern, line)
  if not found:
    return line
  flag, value, expected = found.groups()
  return f'{flag}: got {value or repr("")}, {expected}'


def _under_settings(
  main: Callable[[Sequence[str]], None],
) -> Callable[[Sequence[str]], None]:
  """Runs `main` under the settings of jax that search for defects.

  A transfer guard is lifted: a command moves its own data on purpose. A stop of
  `jax_debug_nans` or `jax_debug_infs` is one line that names its place.
  """

  def guarded(argv: Sequence[str]) -> None:
    try:
      with jax.transfer_guard('allow'):
        main(argv)
    except FloatingPointError as error:
      *_, place = (
        f'{os.path.relpath(frame.filename, _LIBRARY)}:{frame.lineno}'
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename.startswith(_LIBRARY + os.sep)
      )
      reason = ' '.join(str(error).split()).rstrip('.')
      raise UserError(
        f'vae_jax/{place}: {reason}, at which jax_debug_nans or jax_debug_infs '
        'stops. Unset JAX_DEBUG_NANS and JAX_DEBUG_INFS to continue'
      ) from None

  return guarded


def run(main: Callable[[Sequence[str]], None]) -> None:
  """Runs `main(sys.argv)` as a command.

  A user's mistake or an error of the operating system prints one line and
  exits with 2. A signal prints one line and exits with 143, SIGINT with 130,
  SIGHUP with 129.
  """
  main = _under_settings(main)
  try:
    with terminal.streams(), signals.installed():
      try:
        _run(main)
      except signals.Stopped as stopped:
        _stop(stopped)
  # A signal between the end of `main` and that of the block.
  except signals.Stopped as stopped:
    _stop(stopped)


def _stop(stopped: signals.Stopped) -> NoReturn:
  """Prints which signal stopped the command, and exits with its code."""
  terminal.print_error(str(stopped))
  terminal.flush_stdout()
  # Python's own exit frees memory that XLA's threads still compute with.
  os._exit(stopped.exit_code)


def _run(main: Callable[[Sequence[str]], None]) -> None:
  """Runs `main(sys.argv)`; exits with one line at an error that users mend."""
  try:
    main(sys.argv)
    sys.stdout.flush()
  except UserError as error:
    _exit(f'error: {error}')
  except BaseException as error:
    # A library may have put its own exception in the place of `Stopped`.
    signals.check()
    if isinstance(error, BrokenPipeError):
      # The reader closed the pipe.
      terminal.flush_stdout()
      raise SystemExit(141) from None
    if isinstance(error, OSError):
      _exit(f'error: {error.filename or "standard output"}: {error.strerror}')
    # jax reports exhausted device memory as a RuntimeError.
    full = isinstance(error, RuntimeError) and 'RESOURCE_EXHAUSTED' in str(
      error
    )
    if full or isinstance(error, MemoryError):
      _exit('error: out of memory: make the model or its batches smaller')
    raise


def _exit(line: str) -> NoReturn:
  """Prints one line and exits with 2."""
  terminal.print_error(line)
  terminal.flush_stdout()
  raise SystemExit(2) from None
