import io
import subprocess
import sys

import pytest

from vae_jax.io import terminal

FORGED = 'a\x1b[2J\x07\x9b31m\u202eb\udc80\r'
ESCAPED = r'a\x1b[2J\x07\x9b31m\u202eb\udc80'


def test_control_characters_are_escaped_on_both_streams(capsys):
  with terminal.streams():
    print(FORGED, end='\n\t.')
    print(FORGED, end='\n\t.', file=sys.stderr)
  printed = capsys.readouterr()
  assert printed.out == ESCAPED + '\\r\n\t.'
  # A progress bar needs the carriage return.
  assert printed.err == ESCAPED + '\r\n\t.'
  print('\x1b', end='')
  assert capsys.readouterr().out == '\x1b'


def test_progress_bars_may_change_the_line(capsys):
  with terminal.streams():
    for text in ('\n\n', '\x1b[A\x1b[A', '\x1b[A\x1b[B'):
      sys.stderr.write(text)
  assert capsys.readouterr().err == '\n\n\x1b[A\x1b[A' + r'\x1b[A\x1b[B'


def test_letters_that_the_terminal_cannot_show_are_escaped(monkeypatch):
  stream = io.TextIOWrapper(io.BytesIO(), encoding='ascii')
  monkeypatch.setattr(sys, 'stdout', stream)
  with terminal.streams():
    print('±')
  stream.flush()
  assert stream.buffer.getvalue() == b'\\xb1\n'


class Refusing(io.StringIO):
  def write(self, text):
    raise OSError(5, 'Input/output error')


def test_error_without_a_terminal_is_dropped(monkeypatch):
  monkeypatch.setattr(sys, 'stderr', Refusing())
  terminal.print_error('no reader')


CLOSED = """
import os, sys
from vae_jax.io import terminal
with terminal.streams():
  print('out'); print('err', file=sys.stderr)
  with open(sys.argv[1], 'wb') as file:
    assert file.fileno() > 2
    os.write(1, b'from C ')
    os.write(2, b'from C ')
"""


@pytest.mark.quick('2>&-')
@pytest.mark.parametrize('closed', ['2>&-', '1>&-', '0<&- 1>&- 2>&-'])
def test_closed_streams_reach_no_file(closed, tmp_path):
  path = tmp_path / 'file'
  command = f'"{sys.executable}" -c "$1" "{path}" {closed}'
  subprocess.run(['sh', '-c', command, 'sh', CLOSED], check=True)
  assert path.read_bytes() == b''
