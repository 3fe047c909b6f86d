"""matplotlib is loaded at the first figure, and missed at the import."""

import subprocess
import sys

import pytest
from matplotlib.figure import Figure

from vae_jax import plots
from vae_jax.plots.figure import new_figure

LAZY = """
import sys
import vae_jax.runs.trainer
assert 'matplotlib' not in sys.modules
from vae_jax import plots
plots.learning_curve('ELBO', {'train': ([1, 2], [-2.0, -1.0])})
assert 'matplotlib' in sys.modules
"""


def test_a_command_loads_matplotlib_at_its_first_figure():
  subprocess.run([sys.executable, '-P', '-c', LAZY], check=True)


def test_a_figure_is_one_of_matplotlib():
  assert plots.Figure is Figure
  figure = new_figure(3.0, 2.0)
  assert isinstance(figure, Figure)
  assert tuple(figure.get_size_inches()) == (3.0, 2.0)
  with pytest.raises(AttributeError, match='no attribute'):
    _ = plots.figur
