"""Command-line flags generated from the fields of a config dataclass."""

import difflib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

from absl import flags

from vae_jax.errors import UserError
from vae_jax.io import signals, terminal
from vae_jax.runs.config.options import option_fields

ConfigT = TypeVar('ConfigT')


class _WholeNumbersParser(flags.ArgumentParser):
  """Parses `200,100` into `(200, 100)`."""

  syntactic_help = 'whole numbers separated by commas'

  def parse(self, argument: str | tuple[int, ...]) -> tuple[int, ...]:
    if isinstance(argument, tuple):
      return argument
    try:
      return tuple(int(part) for part in argument.split(',') if part.strip())
    except ValueError:
      raise ValueError(f'must be {self.syntactic_help}') from None


_PARSERS: dict[type, Callable[[], Any]] = {
  int: flags.IntegerParser,
  float: flags.FloatParser,
  str: flags.ArgumentParser,
  tuple: _WholeNumbersParser,
}


def _serialise(value: Any) -> str:
  if isinstance(value, tuple):
    return ','.join(map(str, value))
  return str(value)


def _define(config_class: type) -> flags.FlagValues:
  values = flags.FlagValues()
  for field in option_fields(config_class):
    if isinstance(field.default, bool):
      flags.DEFINE_boolean(
        field.name,
        field.default,
        field.metadata['help'],
        flag_values=values,
      )
      continue
    flags.DEFINE(
      _PARSERS[type(field.default)](),
      field.name,
      field.default,
      field.metadata['help'],
      flag_values=values,
    )
  return values


def help_text(config_class: type, command: str) -> str:
  """Returns the flags by group, one line each, with default and unit."""
  groups: dict[str, list[str]] = {}
  fields = option_fields(config_class)
  width = max(
    len(f'--{field.name}={_serialise(field.default)}') for field in fields
  )
  for field in fields:
    flag = f'--{field.name}={_serialise(field.default)}'
    choices = field.metadata.get('choices', ())
    notes = [field.metadata['help']]
    if choices:
      notes.append(f'[{"|".join(choices)}]')
    if 'unit' in field.metadata:
      notes.append(f'({field.metadata["unit"]})')
    line = f'  {flag:<{width}}  {" ".join(notes)}'
    groups.setdefault(field.metadata['group'], []).append(line)
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
      number or out of bounds, a stray positional argument.
    SystemExit: with code 0 after printing the help text of `--help`.
  """
  if any(argument in ('--help', '-help', '-h') for argument in argv[1:]):
    name = os.path.splitext(os.path.basename(argv[0]))[0]
    print(help_text(config_class, f'python -m experiments.{name}'))
    if epilogue:
      print(f'\n{epilogue()}')
    raise SystemExit(0)
  values = _define(config_class)
  try:
    positional = values(list(argv))[1:]
  except flags.UnrecognizedFlagError as error:
    names = [field.name for field in option_fields(config_class)]
    near = difflib.get_close_matches(error.flagname, names, n=3, cutoff=0.5)
    hint = ' or '.join(f'--{name}' for name in near)
    raise UserError(
      f'unknown flag --{error.flagname}: '
      + (f'did you mean {hint}?' if near else '--help lists them all')
    ) from None
  except flags.Error as error:
    raise UserError(' '.join(str(error).split())) from None
  if positional:
    raise UserError(
      f'stray argument {positional[0]!r}: give options as --flag=value'
    )
  return config_class(**values.flag_values_dict())


def run(main: Callable[[Sequence[str]], None]) -> None:
  """Runs `main(sys.argv)` as a command.

  A user's mistake or an error of the operating system prints one line and
  exits with 2. A signal prints one line and exits with 143, SIGINT with 130,
  SIGHUP with 129.
  """
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
