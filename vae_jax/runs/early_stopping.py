"""Early stopping on the validation ELBO, a pure function of the state."""

from vae_jax.training.epoch import RunState


def epochs_since_best(state: RunState, steps_per_epoch: int) -> int:
  """Returns the epochs completed after that of the highest validation ELBO."""
  return int(state.epoch) - int(state.best_step) // steps_per_epoch


def stops(patience: int, state: RunState, steps_per_epoch: int) -> bool:
  """Returns whether the validation ELBO has not increased for too long.

  Args:
    patience: epochs without a higher ELBO; 0 for never.
    state: state of the run.
    steps_per_epoch: gradient steps per epoch.
  """
  return 0 < patience <= epochs_since_best(state, steps_per_epoch)


def in_words(patience: int, state: RunState, steps_per_epoch: int) -> str:
  """Returns a sentence on a training that has stopped early."""
  waited = epochs_since_best(state, steps_per_epoch)
  epoch = int(state.epoch)
  return (
    f'stopped early at epoch {epoch}: the validation ELBO was highest at epoch '
    f'{epoch - waited} ({float(state.best_elbo):.3f}), {waited} epochs before '
    f'(--patience={patience}). A larger --patience resumes the training'
  )
