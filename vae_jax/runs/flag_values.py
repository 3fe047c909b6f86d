"""Values of flags, with flagfiles that travel with the commands."""

from absl import flags

from vae_jax.runs import commands


class FlagValues(flags.FlagValues):
  """Flags; `--flagfile` also finds the files that travel with the commands."""

  def _extract_filename(self, flagfile_str: str) -> str:
    name: str = super()._extract_filename(flagfile_str)
    return commands.find(name)
