"""Headless Chromium: runs the scripts of a page and returns one result."""

import base64
import json
import os
import re
import shutil
import subprocess

import pytest

CHROMIUM = os.environ.get('CHROMIUM') or shutil.which('chromium')

# Without a display a frame may never come; timers run in virtual time.
_TIMERS = (
  '<script>window.requestAnimationFrame = (f) => setTimeout(f, 0);</script>'
)

needs_chromium = pytest.mark.skipif(
  not CHROMIUM, reason='no Chromium: neither $CHROMIUM nor chromium in PATH'
)


def run_script(folder, page, script):
  """Returns what a script in a page leaves in `result`, as JSON."""
  own = (
    '<script>(async () => { let result; try {'
    + script
    + '} catch (error) { result = {error: String(error)}; } '
    "const out = document.createElement('pre'); out.id = 'result'; "
    'out.textContent = btoa(JSON.stringify(result)); '
    'document.body.append(out); })();</script>'
  )
  path = folder / 'page.html'
  page = page.replace('<!DOCTYPE html>', f'<!DOCTYPE html>{_TIMERS}', 1)
  path.write_text(page.replace('</body>', f'{own}</body>'))
  root = ['--no-sandbox'] if os.geteuid() == 0 else []
  done = subprocess.run(
    [
      *(CHROMIUM, '--headless', '--disable-gpu', *root),
      *(f'--user-data-dir={folder / "profile"}', '--window-size=1280,900'),
      *('--virtual-time-budget=5000', '--dump-dom', path.as_uri()),
    ],
    capture_output=True,
    text=True,
    timeout=120,
  )
  found = re.search(r'<pre id="result">([^<]*)</pre>', done.stdout)
  assert found, done.stderr[-2000:]
  result = json.loads(base64.b64decode(found[1]))
  assert not (isinstance(result, dict) and 'error' in result), result
  return result
