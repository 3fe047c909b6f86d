"""The one exception that a person, not a programmer, is meant to read."""


class UserError(ValueError):
  """A mistake in what the user gave: one line on what, where and what to do.

  The command line prints the line without a traceback and exits with 2.
  """
