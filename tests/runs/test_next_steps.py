"""Lines at the end of a command."""

import pathlib
import shlex

import pytest

from vae_jax.runs import commands, next_steps

FOLDER = pathlib.Path('runs/my digits')


@pytest.mark.parametrize('known', [('evaluate',), ('evaluate', 'sample')])
def test_only_commands_that_exist_are_proposed(known, monkeypatch):
  monkeypatch.setattr(commands, 'titles', lambda: dict.fromkeys(known, ''))
  look, following = next_steps.describe('train', FOLDER).splitlines()
  assert shlex.split(look)[2:] == ['runs/my digits/report.html']
  for name in ('evaluate', 'sample'):
    call = f"./launch.sh {name} --workdir='runs/my digits'"
    assert (call in following) == (name in known)
  assert following.endswith("vj.load_run('runs/my digits') in Python")


def test_an_evaluation_has_a_page_of_its_own(monkeypatch):
  monkeypatch.setattr(commands, 'titles', lambda: {'compare': ''})
  place = FOLDER / 'evaluations' / 'test-step4-k5'
  lines = next_steps.describe('evaluate', FOLDER, place).splitlines()
  assert shlex.split(lines[0])[2] == str(place / 'report.html')
  assert "./launch.sh compare 'runs/my digits' OTHER_RUN" in lines[1]
