"""The pages' code runs and prints what they state; their commands parse."""

import contextlib
import importlib
import importlib.util
import io
import os
import pathlib
import re
import shlex
import subprocess
import sys

import pytest

from vae_jax.errors import UserError
from vae_jax.models.networks import NETWORKS
from vae_jax.models.posteriors import POSTERIORS

ROOT = pathlib.Path(__file__).parent.parent
PAGES = sorted((ROOT / 'docs' / 'pages').rglob('*.md'))
SAMPLES = re.compile(
  r'```python\n(.*?)```\n(?:\n```text\n(.*?)```)?', re.DOTALL
)
OTHERS = re.compile(r'```py\n(.*?)```', re.DOTALL)
SHELL = re.compile(r'```bash\n(.*?)```', re.DOTALL)

WITH_CODE = [page for page in PAGES if SAMPLES.search(page.read_text())]
# Libraries of the extra `recipes` that `dev` leaves out.
OPTIONAL = ('torch',)
COMMANDS = sorted(
  {
    line[line.index('./launch.sh') :].split('#')[0].strip()
    for page in PAGES
    for block in SHELL.findall(page.read_text())
    for line in block.splitlines()
    if './launch.sh' in line
  }
)


@pytest.fixture
def tables():
  """Restores the tables that a page extends."""
  before = [(table, dict(table)) for table in (NETWORKS, POSTERIORS)]
  yield
  for table, rows in before:
    table.clear()
    table.update(rows)


def needs(code, name):
  """Returns whether code imports a library that is not installed."""
  if importlib.util.find_spec(name):
    return False
  return re.search(rf'^(import|from) {name}\b', code, re.M) is not None


@pytest.mark.slow
@pytest.mark.parametrize('page', WITH_CODE, ids=lambda page: page.stem)
def test_code_runs_and_prints_what_the_page_states(page, tables):
  names, missing = {}, set()
  for code, stated in SAMPLES.findall(page.read_text()):
    if lacks := {name for name in OPTIONAL if needs(code, name)}:
      missing |= lacks
      continue
    with contextlib.redirect_stdout(io.StringIO()) as out:
      exec(compile(code, str(page), 'exec'), names)
    assert out.getvalue() == stated, code
  if missing:
    pytest.skip(
      f'the rest ran; not installed: {sorted(missing)}. Run '
      "pip install 'vae_jax[recipes]'"
    )


def test_code_compiles():
  assert len(WITH_CODE) >= 7
  for page in PAGES:
    text = page.read_text()
    for code in [*(x for x, _ in SAMPLES.findall(text)), *OTHERS.findall(text)]:
      compile(code, str(page), 'exec')


def parse(command):
  """Parses the arguments of a command as its script does; runs nothing."""
  _, name, *argv = shlex.split(command)
  if name in ('help', 'test', 'docs'):
    return
  script = importlib.import_module(f'experiments.{name}')

  class ParsedError(Exception):
    """Ends the script where its flags are parsed."""

  def stop(parser):
    def parsed(*args, **options):
      parser(*args, **options)
      raise ParsedError

    return parsed

  flags = script.flags
  with pytest.MonkeyPatch.context() as patch:
    for parser in ('parse', 'parse_with_names'):
      patch.setattr(flags, parser, stop(getattr(flags, parser)))
    with contextlib.redirect_stdout(io.StringIO()):
      expected = SystemExit if '--help' in argv else ParsedError
      with pytest.raises(expected):
        script.main([name, *argv])


@pytest.mark.slow
def test_every_command_parses():
  assert len(COMMANDS) > 30
  for command in COMMANDS:
    parse(command)


@pytest.mark.slow
def test_a_command_that_does_not_parse_is_found():
  for command in (
    './launch.sh train --num_epoch=2',
    './launch.sh evaluate --workdir=x --gap',
    './launch.sh train --objective=iwae --estimator=disarm',
  ):
    with pytest.raises(UserError):
      parse(command)


def test_links_and_figures_of_the_pages_exist():
  for page in PAGES:
    for target in re.findall(r'\]\(([^)#:]+)', page.read_text()):
      assert (page.parent / target).exists(), f'{page}: {target}'
    assert 'http' not in re.sub('```.*?```', '', page.read_text(), flags=re.S)


def test_figures_stay_small():
  for figure in (ROOT / 'docs' / 'pages').rglob('*.png'):
    assert figure.stat().st_size < 60_000, figure


@pytest.mark.slow
def test_the_site_builds_strictly_and_asks_no_other_host(tmp_path):
  if importlib.util.find_spec('mkdocs') is None:
    pytest.skip("mkdocs is not installed: pip install 'vae_jax[docs]'")
  subprocess.run(
    [
      *(sys.executable, '-m', 'mkdocs', 'build', '--quiet', '--strict'),
      *('--config-file', str(ROOT / 'docs' / 'mkdocs.yml')),
      *('--site-dir', str(tmp_path)),
    ],
    check=True,
    env=os.environ | {'NO_MKDOCS_2_WARNING': '1'},
  )
  asked = r'<(?:script|img|link|iframe)[^>]*(?:src|href)="(?:https?:)?//[^"]*"'
  for page in tmp_path.rglob('*.html'):
    assert not re.findall(asked, page.read_text()), page
  api = (tmp_path / 'api' / 'estimators.html').read_text()
  assert 'id="vae_jax.estimators.pathwise.pathwise"' in api


NOTEBOOKS = sorted((ROOT / 'docs' / 'notebooks').glob('*.py'))


@pytest.mark.slow
@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run_and_reach_what_they_say(path):
  names = {}
  with contextlib.redirect_stdout(io.StringIO()) as out:
    exec(compile(path.read_text(), str(path), 'exec'), names)
  printed = out.getvalue()
  if path.stem == 'the_trick':
    assert printed.startswith('True\n')
    assert names['choice'].best == 'pathwise'
    # 6 standard errors of the mean of 20,000; Var = 4 by the pathwise one.
    assert abs(names['found'].mean - 6) < 6 * names['found'].standard_error
    assert 'variance 4\n' in printed
  else:
    assert names['nll'].mean < names['elbo'].mean
    assert names['history']['elbo'][-1] > names['history']['elbo'][0] + 5
