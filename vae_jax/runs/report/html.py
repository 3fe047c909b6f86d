"""Self-contained HTML page with text, tables, figures and links."""

import base64
import html
import re
import struct
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

# Pixels of a figure per CSS pixel, so that it is sharp on dense screens.
_PIXELS = 1.6

_STYLE = """
:root { color-scheme: light dark; }
body {
  font: 1rem/1.5 system-ui, sans-serif;
  max-width: 60rem; margin: 0 auto; padding: 1rem;
  color: #222; background: #fff;
}
h1 { font-size: 1.6rem; line-height: 1.25; }
h2 { font-size: 1.2rem; margin-top: 2.5rem; }
h1, h2, td { overflow-wrap: anywhere; }
pre { white-space: pre-wrap; font-size: 0.9rem; }
table { border-collapse: collapse; }
th, td {
  padding: 0.2rem 1.5rem 0.2rem 0; border-bottom: 1px solid #8884;
  text-align: left; vertical-align: top; font-variant-numeric: tabular-nums;
}
th { font-weight: normal; opacity: 0.75; }
figure { margin: 0 0 2.5rem; }
figcaption { margin-top: 0.4rem; opacity: 0.75; }
img {
  max-width: 100%; height: auto; box-sizing: border-box;
  padding: 0.5rem; background: #fff; border-radius: 0.4rem;
  border: 1px solid #8888;
}
@media (prefers-color-scheme: dark) {
  body { color: #ddd; background: #161616; }
}
"""

Rows = Sequence[tuple[str, str]]

# Section of links, which is replaced when the page gets a new link.
_START, _END = '<!-- links -->', '<!-- end of links -->'
_LINKS = re.compile(f'{_START}.*?{_END}|(?=</body>)', re.DOTALL)


class Widget(NamedTuple):
  """An interactive section of the page.

  Attributes:
    content: HTML of the section, with its scripts; '' for none.
    style: CSS of its elements.
  """

  content: str = ''
  style: str = ''


NO_WIDGET = Widget()


class Picture(NamedTuple):
  """A figure of the page.

  Attributes:
    png: Content of a PNG file.
    name: Short alternative text.
    caption: Sentence below the figure.
  """

  png: bytes
  name: str
  caption: str


def make_page(
  title: str,
  objective: str,
  tables: Mapping[str, Rows],
  pictures: Iterable[Picture],
  *,
  notes: Iterable[str] = (),
  links: Rows = (),
  decoder: Widget = NO_WIDGET,
) -> str:
  """Returns the page as HTML; all texts are escaped.

  The order is title, objective, first table, notes, links, decoder, figures,
  other tables.

  Args:
    title: Title of the page.
    objective: Training objective in words; line breaks are kept.
    tables: Heading -> rows of name and value.
    pictures: Figures in the order of the page.
    notes: Paragraphs below the first table.
    links: Relative path and text of each link.
    decoder: Section of the decoder, which is HTML already.
  """
  sections = [_section(name, _table(rows)) for name, rows in tables.items()]
  figures = '\n'.join(_figure(picture) for picture in pictures)
  body = [
    f'<h1>{html.escape(title)}</h1>',
    _section('Objective', f'<pre>{html.escape(objective)}</pre>'),
    *sections[:1],
    *(f'<p>{html.escape(note)}</p>' for note in notes),
    _links(links),
    *([_section('Decoder', decoder.content)] if decoder.content else []),
    _section('Figures', figures),
    *sections[1:],
  ]
  return '\n'.join(
    [
      '<!DOCTYPE html>',
      '<html lang="en">',
      '<head>',
      '<meta charset="utf-8">',
      '<meta name="viewport" content="width=device-width, initial-scale=1">',
      # Without this, browsers request /favicon.ico from the server.
      '<link rel="icon" href="data:,">',
      f'<title>{html.escape(title)}</title>',
      f'<style>{_STYLE}{decoder.style}</style>',
      '</head>',
      '<body>',
      *body,
      '</body>',
      '</html>\n',
    ]
  )


def with_links(page: str, links: Rows) -> str:
  """Returns a page of `make_page`, or an older one, with other links."""
  return _LINKS.sub(lambda _: _links(links), page, count=1)


def _links(links: Rows) -> str:
  items = [
    f'<li><a href="{html.escape(urllib.parse.quote(path))}">'
    f'{html.escape(text)}</a></li>'
    for path, text in links
  ]
  listed = '\n'.join(['<ul>', *items, '</ul>'])
  content = _section('See also', listed) if items else ''
  return f'{_START}{content}{_END}'


def _section(name: str, content: str) -> str:
  return f'<section>\n<h2>{html.escape(name)}</h2>\n{content}\n</section>'


def _table(rows: Rows) -> str:
  lines = [
    f'<tr><th scope="row">{html.escape(name)}</th>'
    f'<td>{html.escape(value)}</td></tr>'
    for name, value in rows
  ]
  return '\n'.join(['<table>', '<tbody>', *lines, '</tbody>', '</table>'])


def _figure(picture: Picture) -> str:
  # Bytes 16 to 24 of a PNG file. With the size in the HTML, the layout does
  # not move while the page loads.
  width, height = struct.unpack('>II', picture.png[16:24])
  name, caption = html.escape(picture.name), html.escape(picture.caption)
  data = base64.b64encode(picture.png).decode()
  return (
    '<figure>\n'
    f'<img src="data:image/png;base64,{data}" alt="{name}: {caption}" '
    f'width="{width / _PIXELS:.0f}" height="{height / _PIXELS:.0f}">\n'
    f'<figcaption>{caption}</figcaption>\n</figure>'
  )
