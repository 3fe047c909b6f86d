import base64
import html.parser
import struct

import pytest

from vae_jax.runs.report import html as page

VOID = {'meta', 'link', 'img', 'input'}
NASTY = '<script src="http://x.y/z.js">alert("it\'s")</script> & ]]> \u00b5'


class Reader(html.parser.HTMLParser):
  """Collects the elements and texts of a page and checks their nesting."""

  def __init__(self, text):
    super().__init__()
    self.open, self.elements, self.texts = [], [], []
    self.feed(text)
    self.close()
    assert not self.open

  def handle_starttag(self, tag, attributes):
    assert len({name for name, _ in attributes}) == len(attributes)
    self.elements.append((tag, dict(attributes)))
    if tag not in VOID:
      self.open.append(tag)

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, text):
    if text.strip():
      self.texts.append((self.open[-1], text))

  def all(self, tag):
    return [attributes for name, attributes in self.elements if name == tag]

  def texts_in(self, tag):
    return [text for name, text in self.texts if name == tag]


def png(width, height):
  return b'\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR' + struct.pack(
    '>II', width, height
  )


@pytest.fixture
def text():
  pictures = [
    page.Picture(png(600, 400), 'one', 'First.'),
    page.Picture(png(20, 40), NASTY, NASTY),
  ]
  tables = {
    'Test split': [('NLL, K = 5', '1.2 ± 0.1 nats'), (NASTY, NASTY)],
    'Options': [('dataset', NASTY)],
  }
  return page.make_page(NASTY, f'Maximises\n  {NASTY}', tables, pictures)


def test_page_is_a_complete_document(text):
  assert text.startswith('<!DOCTYPE html>')
  reader = Reader(text)
  assert [tag for tag, _ in reader.elements[:2]] == ['html', 'head']
  assert len(reader.all('body')) == len(reader.all('h1')) == 1
  assert len(reader.all('title')) == 1
  assert {'charset': 'utf-8'} in reader.all('meta')
  assert 'viewport' in {x.get('name') for x in reader.all('meta')}


def test_page_loads_no_external_resource(text):
  reader = Reader(text)
  assert not {'script', 'iframe', 'object', 'base'} & {
    tag for tag, _ in reader.elements
  }
  for _, attributes in reader.elements:
    for name, value in attributes.items():
      if name in ('src', 'href', 'srcset', 'data', 'action'):
        assert value.startswith('data:')
      assert not name.startswith('on')
  (style,) = reader.texts_in('style')
  assert 'url(' not in style
  assert '@import' not in style


def test_texts_are_escaped_and_complete(text):
  reader = Reader(text)
  assert reader.texts_in('h1') == reader.texts_in('title') == [NASTY]
  assert reader.texts_in('pre') == [f'Maximises\n  {NASTY}']
  assert reader.texts_in('th') == ['NLL, K = 5', NASTY, 'dataset']
  assert reader.texts_in('td') == ['1.2 ± 0.1 nats', NASTY, NASTY]


def test_figures_have_size_alternative_text_and_caption(text):
  reader = Reader(text)
  first, second = reader.all('img')
  start = 'data:image/png;base64,'
  assert base64.b64decode(first['src'].removeprefix(start)) == png(600, 400)
  assert (first['width'], first['height']) == ('375', '250')
  assert first['alt'] == 'one: First.'
  assert second['alt'] == f'{NASTY}: {NASTY}'
  assert reader.texts_in('figcaption') == ['First.', NASTY]


def test_sections_are_in_order(text):
  headings = Reader(text).texts_in('h2')
  assert headings == ['Objective', 'Test split', 'Figures', 'Options']


LINKS = [('evaluations/test-k5/report.html', 'one'), ('../x"y&z.html', NASTY)]


def test_links_are_replaced_and_escaped(text):
  assert 'See also' not in Reader(text).texts_in('h2')
  linked = page.with_links(text, LINKS)
  reader = Reader(linked)
  assert [x['href'] for x in reader.all('a')] == [
    *('evaluations/test-k5/report.html', '../x%22y%26z.html'),
  ]
  assert reader.texts_in('a') == ['one', NASTY]
  assert 'See also' in reader.texts_in('h2')
  # Everything else is unchanged, and so is a page without links again.
  assert page.with_links(linked, LINKS) == linked
  assert page.with_links(linked, []) == text


def test_pages_of_older_versions_get_links(text):
  old = text.replace('<!-- links --><!-- end of links -->\n', '')
  assert old != text
  reader = Reader(page.with_links(old, LINKS))
  assert reader.texts_in('a') == ['one', NASTY]


def test_notes_are_below_the_first_table_and_figures_have_a_border():
  text = page.make_page(
    'T', 'o', {'Test split': [('a', 'b')]}, [], notes=[NASTY]
  )
  assert Reader(text).texts_in('p') == [NASTY]
  # A white figure in a dark page has an edge.
  style = text.split('img {')[1].split('}')[0]
  assert 'border: 1px solid' in style
