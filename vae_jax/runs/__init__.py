"""Training runs: options, folder, trainer, evaluation and report.

The only home of `Config`. Names are imported lazily: reading options or
printing `--help` loads no network, no figures and no data set.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from vae_jax.runs.config import Config, EvaluateConfig
  from vae_jax.runs.evaluation import evaluate
  from vae_jax.runs.folder import RunFolder
  from vae_jax.runs.load import LoadedRun, load_run
  from vae_jax.runs.trainer import train

__all__ = (
  'Config',
  'EvaluateConfig',
  'LoadedRun',
  'RunFolder',
  'evaluate',
  'load_run',
  'train',
)

# No module has the name of a function: importing the module would replace it.
_MODULES = {
  'Config': 'config',
  'EvaluateConfig': 'config',
  'LoadedRun': 'load',
  'RunFolder': 'folder',
  'evaluate': 'evaluation',
  'load_run': 'load',
  'train': 'trainer',
}


def __getattr__(name: str) -> Any:
  if name in _MODULES:
    module = importlib.import_module(f'vae_jax.runs.{_MODULES[name]}')
    return getattr(module, name)
  raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
