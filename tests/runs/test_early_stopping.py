"""Early stopping of the loop, on validation bounds that a test chooses."""

import numpy as np
import pytest

from tests.runs import toy
from tests.runs.test_loop import arrays, lines, train

# Epochs 1 to 8; the highest is at epoch 3, and again at epoch 7.
BOUNDS = [-9.0, -5.0, -4.0, -4.5, -4.0, -6.0, -3.0, -7.0]


def recipe(patience, num_epochs=8):
  """Returns a recipe whose validation ELBO depends on the step alone."""

  def validate(params):
    states = [toy.init()]
    for _ in range(len(BOUNDS) * toy.STEPS_PER_EPOCH):
      states.append(toy.one_step(states[-1]))
    at = [float(s.train.params['a']) for s in states].index(float(params['a']))
    elbo = BOUNDS[at // toy.STEPS_PER_EPOCH - 1]
    return {'elbo': elbo, 'log_likelihood': elbo, 'kl': 0.0}

  return toy.RECIPE._replace(
    patience=patience, num_epochs=num_epochs, validate=validate
  )


@pytest.mark.parametrize(
  ('patience', 'stops', 'best'), [(1, 4, 3), (3, 6, 3), (4, 8, 7), (0, 8, 7)]
)
def test_stops_after_epochs_without_a_higher_bound(
  patience, stops, best, tmp_path, capsys
):
  state = train(tmp_path, recipe(patience))
  assert (int(state.epoch), int(state.best_step)) == (stops, 3 * best)
  assert max(x['epoch'] for x in lines(tmp_path)) == stops
  said = 'stopped early at epoch' in capsys.readouterr().out
  assert said == (stops < 8)
  assert arrays(tmp_path / 'checkpoints' / '..', 3 * stops)
  saved = [x.name for x in (tmp_path / 'checkpoints/best').glob('*.npz')]
  assert saved == [f'step_{3 * best:09d}.npz']


def test_resume_of_a_stopped_run_says_so_and_takes_no_step(tmp_path, capsys):
  train(tmp_path, recipe(2))
  before = arrays(tmp_path, 15), lines(tmp_path)
  capsys.readouterr()
  state = train(tmp_path, recipe(2, num_epochs=9))
  out = capsys.readouterr().out
  assert 'stopped early at epoch 5: the validation ELBO was highest' in out
  assert 'at epoch 3 (-4.000), 2 epochs before (--patience=2)' in out
  assert int(state.train.step) == 15
  assert (arrays(tmp_path, 15), lines(tmp_path)) == before


def test_more_patience_continues_as_a_straight_run(tmp_path):
  for name, patiences in (('straight', [4]), ('resumed', [2, 4])):
    (tmp_path / name).mkdir()
    for patience in patiences:
      train(tmp_path / name, recipe(patience))
  assert arrays(tmp_path / 'straight', 24) == arrays(tmp_path / 'resumed', 24)
  assert lines(tmp_path / 'straight') == lines(tmp_path / 'resumed')
  assert np.isfinite(lines(tmp_path / 'resumed')[-1]['elbo'])
