"""Hints at the flag that an unknown flag may stand for."""

import dataclasses
import difflib
import re
from typing import Any

from vae_jax.errors import UserError
from vae_jax.runs.config import Config
from vae_jax.runs.config.options import flag_of, option_fields

# Names in other programs that share no word with ours.
_SYNONYMS = {
  'arch': 'network',
  'architecture': 'network',
  'cuda': 'platform',
  'device': 'platform',
  'early_stopping': 'patience',
  'iterations': 'num_epochs',
  'kl_weight': 'beta',
  'layers': 'hidden_sizes',
  'log_dir': 'workdir',
  'loss': 'objective',
  'max_steps': 'num_epochs',
  'model': 'network',
  'num_steps': 'num_epochs',
  'normalise': 'standardise',
  'normalize': 'standardise',
  'out_dir': 'workdir',
  'output_dir': 'workdir',
  'path': 'workdir',
  'random_seed': 'seed',
  'run': 'workdir',
  'steps': 'num_epochs',
  'units': 'hidden_sizes',
  'width': 'hidden_sizes',
  'zdim': 'latent_dim',
}
# Words that many flags share.
_COMMON = {'dir', 'num', 'weight'}


def unknown_flag(config_class: type, name: str) -> UserError:
  """Returns the error of a flag that a command does not have, with a hint."""
  join = ' or --'.join
  hint = '--help lists them all'
  if near := _near(config_class, name):
    hint = f'did you mean --{join(near)}?'
  elif elsewhere := _near(Config, name):
    hint = f'the command train has --{join(elsewhere)}'
  return UserError(f'unknown flag --{name}: {hint}')


def _near(config_class: type, name: str) -> list[str]:
  """Returns the flags that an unknown flag may stand for, the nearest first.

  By a synonym, the spelling, the initials of the words (`lr`), a common word,
  or a word of the help text.
  """
  fields = option_fields(config_class)
  names = [flag_of(field) for field in fields]
  name = name.lower().replace('-', '_')
  words = set(name.split('_'))
  initials = lambda x: ''.join(word[0] for word in x.split('_'))

  def described(field: dataclasses.Field[Any]) -> bool:
    choices = field.metadata.get('choices', ())
    return name in re.findall(
      r'\w+', ' '.join([field.metadata['help'], *choices]).lower()
    )

  found = (
    [x for x in names if _SYNONYMS.get(name) == x],
    difflib.get_close_matches(name, names, n=3, cutoff=0.7),
    [x for x in names if len(name) > 1 and initials(x) == name],
    [x for x in names if words & set(x.split('_')) - _COMMON],
    [flag_of(field) for field in fields if described(field)],
    difflib.get_close_matches(name, names, n=1, cutoff=0.6),
  )
  return next(filter(None, found), [])[:3]
