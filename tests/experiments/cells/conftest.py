"""Two small cells in the place of the published ones."""

import pytest

from experiments.cells import cell, listing, tabulate
from experiments.cells.published import Published

TINY = """# A tiny cell: probabilistic PCA.
--dataset=linear_gaussian
--likelihood=normal
--latent_dim=2
--hidden_sizes=4
--batch_size=700
--num_epochs=2
--nll_num_samples=3
"""


@pytest.fixture
def tiny(inside, monkeypatch):
  """Makes `tiny` and `other` the cells; runs inside an empty folder."""
  flagfiles = inside / 'experiments' / 'flagfiles'
  flagfiles.mkdir(parents=True)
  (flagfiles / 'tiny.flags').write_text(TINY)
  (flagfiles / 'other.flags').write_text(
    '# Another cell.\n--flagfile=experiments/flagfiles/tiny.flags\n--seed=7\n'
  )
  published = {'tiny': Published('Nobody 2000', '9.50', '1', 'a note')}
  monkeypatch.setattr(cell, 'ROOT', inside)
  monkeypatch.setattr(cell, 'FLAGFILES', flagfiles)
  monkeypatch.setattr(cell, 'PUBLISHED', published)
  names = ('tiny', 'other')
  for module in (cell, tabulate):
    monkeypatch.setattr(module, 'CELLS', names)
  monkeypatch.setattr('experiments.cells.CELLS', names)
  monkeypatch.setattr(listing, 'KEPT', inside / 'kept.json')
  return inside / 'runs' / 'reproduce'
