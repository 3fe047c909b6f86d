"""A grid of runs: its cells, finished runs and failures."""

import pytest

from vae_jax.errors import UserError
from vae_jax.runs import flags, sweep
from vae_jax.runs.config import SweepConfig
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.record import read_record


def names(grid, **options):
  return [cell.name for cell in SweepConfig(grid=grid, **options).cells]


def test_cells_are_every_combination():
  found = SweepConfig(
    grid='learning_rate=1e-3, 3e-3; hidden_sizes=20x10,30', num_epochs=3
  )
  assert [cell.name for cell in found.cells] == [
    'learning_rate=1e-3-hidden_sizes=20x10',
    'learning_rate=1e-3-hidden_sizes=30',
    'learning_rate=3e-3-hidden_sizes=20x10',
    'learning_rate=3e-3-hidden_sizes=30',
  ]
  config = found.cells[2].config
  assert config.optimizer.learning_rate == 3e-3
  assert config.model.hidden_sizes == (20, 10)
  assert {cell.config.optimizer.num_epochs for cell in found.cells} == {3}


def test_flags_of_train_pass_to_every_cell():
  found = flags.parse(
    SweepConfig, ['sweep', '--grid=objective=iwae,miwae', '--num_samples=4']
  )
  assert [cell.config.objective.num_samples for cell in found.cells] == [4, 4]


def test_combinations_are_checked_and_not_the_base():
  # --alpha is refused for every objective but renyi.
  assert names('objective=renyi', alpha=0.3) == ['objective=renyi']
  with pytest.raises(UserError, match='--grid at objective=iwae: --alpha'):
    names('objective=renyi,iwae', alpha=0.3)


@pytest.mark.parametrize(
  ('grid', 'message'),
  [
    ('latent_dim', 'expected an option and its values'),
    ('latent_dims', 'expected an option and its values'),
    ('nonsense=1', 'got nonsense as an option of the grid'),
    ('workdir=a,b', 'got workdir as an option of the grid'),
    ('seed=1;seed=2', 'got seed twice'),
    ('seed=1,1', 'got a value of seed twice'),
    ('learning_rate=1e-3,0.001', 'got a value of learning_rate twice'),
    ('seed=a', 'got seed=a, expected a whole number'),
    ('hidden_sizes=2-3', 'expected whole numbers joined by x'),
    ('latent_dim=0', 'expected at least 1'),
    ('seed=' + ','.join(map(str, range(1001))), 'got 1001 runs'),
  ],
)
def test_impossible_grids_are_one_line(grid, message):
  with pytest.raises(UserError, match=message) as error:
    names(grid)
  assert '\n' not in str(error.value)


def test_completed_run_is_finished(trained):
  config = trained.config
  assert sweep.is_finished(trained.folder, config)
  assert not sweep.is_finished(trained.folder / 'none', config)
  assert not sweep.is_finished(trained.folder, config.replace(num_epochs=3))
  other = config.replace(nll_num_samples=4)
  assert not sweep.is_finished(trained.folder, other)
  with pytest.raises(UserError, match='got --latent_dim=3, expected 2'):
    sweep.is_finished(trained.folder, config.replace(latent_dim=3))


def test_interrupted_run_is_not_finished(copied):
  path = copied.folder / 'metrics.jsonl'
  lines = [x for x in path.read_text().splitlines() if '"test"' not in x]
  path.write_text('\n'.join(lines) + '\n')
  assert not sweep.is_finished(copied.folder, copied.config)
  # Without a report, its last checkpoint is all.
  config = copied.config.replace(report='none')
  assert not sweep.is_finished(copied.folder, config)


def test_run_within_its_epochs_is_not_finished(trained, monkeypatch):
  monkeypatch.setattr(RunFolder, 'epoch_of', lambda *args: 1)
  assert not sweep.is_finished(trained.folder, trained.config)


def test_run_that_stopped_early_is_finished(copied, monkeypatch):
  config = copied.config.replace(patience=1)
  write_record = RunFolder(copied.folder).write_record
  write_record(
    read_record(copied.folder / 'config.json')._replace(config=config)
  )
  epochs = {'latest': 1, 'best': 1}
  monkeypatch.setattr(
    RunFolder, 'epoch_of', lambda self, step, which='latest': epochs[which]
  )
  assert not sweep.is_finished(copied.folder, config)
  epochs['best'] = 0
  assert sweep.is_finished(copied.folder, config)


@pytest.mark.slow
def test_failed_run_is_reported_and_others_continue(
  tmp_path, monkeypatch, capsys
):
  trained, compared = [], []

  def train(config, folder):
    if config.run.seed == 2:
      raise UserError('step 7 is not finite')
    trained.append(folder.name)

  monkeypatch.setattr(sweep, 'train', train)
  monkeypatch.setattr(sweep, 'compare', compared.append)
  options = SweepConfig(grid='seed=1,2,3', workdir=str(tmp_path / 'sweep'))
  with pytest.raises(UserError, match='1 of 3 runs failed: seed=2'):
    sweep.sweep(options)
  assert trained == ['seed=1', 'seed=3']
  folders = tuple(str(tmp_path / 'sweep' / name) for name in trained)
  assert compared[0].workdirs == folders
  assert 'failed: step 7 is not finite' in capsys.readouterr().out


def test_defect_of_a_run_is_not_hidden(tmp_path, monkeypatch):
  def train(config, folder):
    raise RuntimeError('a defect')

  monkeypatch.setattr(sweep, 'train', train)
  options = SweepConfig(grid='seed=1,2', workdir=str(tmp_path / 'sweep'))
  with pytest.raises(RuntimeError, match='a defect'):
    sweep.sweep(options)


def test_sweep_without_grid_leaves_no_folder(tmp_path):
  options = SweepConfig(workdir=str(tmp_path / 'sweep'))
  with pytest.raises(UserError, match='--grid: got none'):
    sweep.sweep(options)
  assert not (tmp_path / 'sweep').exists()
