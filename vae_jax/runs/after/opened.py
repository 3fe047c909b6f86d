"""A trained run as a command finds it: restored, one seed, and its examples."""

import pathlib
from typing import Any, NamedTuple

from vae_jax import data
from vae_jax.errors import UserError, command
from vae_jax.evaluate import take
from vae_jax.io import checkpoint, devices, files
from vae_jax.runs import record, splits, standardise
from vae_jax.runs.config.use import ExamplesConfig, UseConfig
from vae_jax.runs.folder import BEST, RunFolder
from vae_jax.runs.load import LoadedRun, load_run
from vae_jax.runs.record import Record
from vae_jax.runs.reported import resolve_checkpoint
from vae_jax.runs.seeds import in_words, seeds_of


class Opened(NamedTuple):
  """A trained run of one seed, and where it comes from.

  Attributes:
    run: the run.
    record: its config.json.
    folder: its folder.
    step: gradient steps of the checkpoint.
    epoch: epochs of the checkpoint.
    output: folder of the files that the command writes.
  """

  run: LoadedRun
  record: Record
  folder: RunFolder
  step: int
  epoch: int
  output: pathlib.Path

  @property
  def words(self) -> str:
    """Returns which parameters are used, as printed."""
    total = self.run.config.optimizer.num_epochs
    many = self.record.config.run.num_seeds > 1
    seed = f', seed {self.run.config.run.seed}' if many else ''
    return (
      f'{self.folder.path} at step {self.step} (epoch {self.epoch} of '
      f'{total}){seed}'
    )

  def path(self, name: str) -> pathlib.Path:
    """Returns the path of a file in the folder, which it creates."""
    files.make_folder(self.output, parents=True)
    return self.output / name


def open_run(options: UseConfig, place: str) -> Opened:
  """Restores the run that the options name.

  Args:
    options: options of the command.
    place: folder within that of the run, where `--output` names none.

  Raises:
    UserError: no run, no good checkpoint, one before the first step, or a run
      of many seeds of which none is named.
  """
  devices.select(options.platform)
  folder = RunFolder.find(options.workdir)
  if options.workdir and not folder.path.is_dir():
    raise UserError(
      f'--workdir={options.workdir}: no such folder. Use that of a trained run'
    )
  run = load_run(
    folder.path,
    checkpoint=options.checkpoint,
    parameters=options.parameters,
    data_dir=options.data_dir,
  )
  found = record.read_record(folder.config, data_dir=options.data_dir)
  which = resolve_checkpoint(run.config, options.checkpoint)
  of_best = folder.checkpoints / BEST
  step = checkpoint.newest_good(
    of_best if which == 'best' else folder.checkpoints
  )
  if not step:
    raise UserError(
      f'{folder.path}: got no checkpoint after a first step, expected a '
      f'trained run. Run {command("train")} with the same options to resume it'
    )
  output = pathlib.Path(options.output).expanduser()
  opened = Opened(
    run=_one_seed(run, options.of_seed),
    record=found,
    folder=folder,
    step=step,
    epoch=folder.epoch_of(step, which),
    output=output if options.output else folder.path / place,
  )
  print(opened.words, flush=True)
  return opened


def _one_seed(run: LoadedRun, number: int) -> LoadedRun:
  """Returns the run of one seed; raises `UserError` where it is not clear."""
  numbers = seeds_of(run.config)
  if number < 0 and len(numbers) == 1:
    return run
  if number not in numbers:
    got = 'none' if number < 0 else number
    known = in_words(numbers) if len(numbers) > 1 else f'seed {numbers[0]}'
    raise UserError(
      f'--of_seed: got {got} with a run of {known}, expected one of them. Use '
      f'--of_seed={numbers[0]}'
    )
  return run.of_seed(number)


class Examples(NamedTuple):
  """Examples that a command computes with.

  Attributes:
    stored: the examples as stored, standardised where the run does so.
    x: the examples as `model.condition` takes them.
    words: where they come from.
    names: names of the classes by integer label; [] where there are none.
  """

  stored: data.Rows
  x: Any
  words: str
  names: list[str]

  def first(self, count: int) -> 'Examples':
    """Returns the first examples, or all where there are fewer."""
    if count >= len(self.stored.x):
      return self
    some = slice(count)
    return self._replace(
      stored=data.in_memory('first', data.Split(*self.stored).take(some)),
      x=take(self.x, some),
      words=f'first {count} of {self.words}',
    )


def load_examples(
  opened: Opened,
  options: ExamplesConfig,
  num_examples: int,
) -> Examples:
  """Loads the examples that the options name.

  Args:
    opened: the run.
    options: `dataset` and `split`.
    num_examples: number of examples from the start; 0 for all.

  Raises:
    UserError: no such data, examples of another shape or outside the
      likelihood's support, or fewer.
  """
  config = opened.run.config
  if options.dataset:
    config = config.replace(dataset=options.dataset)
  is_file = options.dataset.endswith('.npz')
  if is_file:
    stored, x = _load_file(opened, options.dataset, num_examples)
  else:
    stored, x = splits.load_split(
      config,
      options.split,
      None if options.dataset else opened.record.data_digests,
      num_examples=num_examples,
      statistics=opened.run.statistics,
      condition=opened.run.condition,
    )
    _check_shape(opened, config.data.dataset, stored.x)
  part = '' if is_file else f' of the {options.split} split'
  name = config.data.dataset
  return Examples(
    stored,
    x,
    f'{len(stored.x)} examples{part} of {name}',
    data.class_names(name, data_dir=config.data.data_dir),
  )


def _load_file(
  opened: Opened, name: str, num_examples: int
) -> tuple[data.Rows, Any]:
  """Reads a whole .npz file, and preprocesses it as the run does."""
  config = opened.run.config.replace(dataset=name)
  asked = {
    'y': config.data.condition == 'y',
    'mask': config.data.missing == 'mask',
  }
  rows = data.read_whole_npz(
    name,
    splits.transform_of(config),
    needed=tuple(kind for kind in asked if asked[kind]),
    tell=print,
  )
  _check_shape(opened, name, rows.x)
  if num_examples > len(rows.x):
    raise UserError(
      f'--num_examples: got {num_examples}, expected at most {len(rows.x)}, '
      f'the examples of {name}. Use fewer'
    )
  if num_examples:
    rows = data.in_memory(name, data.Split(*rows).take(slice(num_examples)))
  if opened.run.statistics is not None and rows.x.dtype.kind != 'f':
    raise UserError(
      f'--dataset={name}: got dtype {rows.x.dtype}, expected real numbers, as '
      'the run standardises them. Store x.astype(float)'
    )
  rows = standardise.apply(opened.run.statistics, rows)
  return rows, splits.prepare(config, opened.run.condition, rows)


def _check_shape(opened: Opened, name: str, x: Any) -> None:
  """Raises `UserError` where x has not the shape of the run's examples."""
  words = lambda shape: ' x '.join(map(str, shape))
  if x.shape[1:] != opened.run.data_shape:
    raise UserError(
      f'--dataset={name}: got examples of {words(x.shape[1:])}, expected '
      f'{words(opened.run.data_shape)} as those of {opened.folder.path}. Use '
      'data of that shape'
    )
