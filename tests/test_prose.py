"""The rules of plain English that a program can check."""

import ast
import functools
import io
import pathlib
import re
import tokenize

from tests.sources import each

ROOT = pathlib.Path(__file__).parent.parent
SOURCES = sorted(
  path
  for folder in ('vae_jax', 'experiments', 'tests')
  for path in (ROOT / folder).rglob('*.py')
  if path.name != 'test_prose.py'
)
DOCUMENTS = [
  *(
    ROOT / name
    for name in ('README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'SECURITY.md')
  ),
  *sorted((ROOT / 'docs' / 'pages').rglob('*.md')),
]

# Phrases of a dialect -> the standard term.
DIALECT = {
  r'\b(is|are|be|was) had\b': 'is computed',
  r'\bhad by\b': 'computed by',
  r'\btold( of)?\b': 'logged, reported or stated',
  r'\btells? of\b': 'reports',
  r'\bgo(es)? on\b': 'resumes or continues',
  r'\bwent on\b': 'resumed or continued',
  r'\bheld apart\b': 'stop-gradient, or separate',
  r'(?<!there )\bis no (?!longer\b|more\b|less\b)[a-z]+\b': 'is not a',
  r'\bclimb(s|ed|ing)?\b': 'maximises',
  r'\bone an? (example|draw|purpose|temperature|dimension|pixel)\b': 'per',
  r'\b(draws|samples|keys|bits|nats|steps|examples|evaluations|gradients)'
  r' an? (example|draw|step|point|dimension|pixel|epoch|second|batch)\b': 'per',
  r'\bof one\'s own law\b': 'distribution',
}
ANY = re.compile('|'.join(DIALECT))
TITLES = re.compile(r'(What|How|Which|Whether|Where|Why)\b')
# A head is a noun, so an entry does not start with a preposition or pronoun.
HEADLESS = re.compile(
  r'(of|the same|its own|that|those|this|from which|in which|to which|names it)'
  r'\b(?!\s*`)'
)
ENTRY = re.compile(r'^ {2}([*\w, ]+): (.+)$')


def dialect(text):
  """Returns the first phrase of the dialect and its term, or None."""
  for pattern, plain in DIALECT.items() if ANY.search(text) else ():
    if found := re.search(pattern, text):
      return f'{found[0]!r}: say {plain!r}'
  return None


@functools.cache
def parse(path):
  return ast.parse(path.read_text())


def docstrings(path):
  """Yields (line, docstring, name) of the module and its definitions."""
  kinds = ast.Module | ast.ClassDef | ast.FunctionDef
  for node in ast.walk(parse(path)):
    if isinstance(node, kinds) and ast.get_docstring(node):
      line = getattr(node, 'lineno', 1)
      yield line, ast.get_docstring(node), getattr(node, 'name', 'module')


def prose(path):
  """Yields (line, text) of docstrings, comments and string literals."""
  text = path.read_text()
  for token in tokenize.generate_tokens(io.StringIO(text).readline):
    if token.type in (tokenize.COMMENT, tokenize.STRING):
      yield token.start[0], ' '.join(token.string.split())


@each(SOURCES)
def test_titles_name_their_subject(path):
  for line, text, name in docstrings(path):
    title = text.splitlines()[0]
    assert not TITLES.match(title), f'{path}:{line} {name}: {title}'


@each(SOURCES)
def test_prose_uses_standard_terms(path):
  for line, text in prose(path):
    found = dialect(text)
    assert not found, f'{path}:{line}: {found}'


@each(SOURCES)
def test_entries_of_docstrings_have_a_head(path):
  for line, text, name in docstrings(path):
    in_list = False
    for row in text.splitlines():
      if row in ('Args:', 'Attributes:'):
        in_list = True
      elif row and not row.startswith(' '):
        in_list = False
      entry = ENTRY.match(row) if in_list else None
      if entry:
        assert not HEADLESS.match(entry[2]), f'{path}:{line} {name}: {row}'


@each(SOURCES)
def test_names_of_tests_use_standard_terms(path):
  for node in ast.walk(parse(path)):
    if isinstance(node, ast.FunctionDef) and node.name.startswith('test_'):
      words = node.name.removeprefix('test_').replace('_', ' ')
      found = dialect(words)
      assert not found, f'{path}:{node.lineno}: {found}'
      assert not re.match('what|how|which', words), f'{path}:{node.lineno}'


@each(DOCUMENTS)
def test_documents_use_standard_terms(path):
  text = ' '.join(path.read_text().split())
  found = dialect(text)
  assert not found, f'{path}: {found}'


def test_the_rules_find_the_dialect():
  """Sentences of the old dialect, each of which a rule must find."""
  for sentence in (
    'The Jacobian is had by forward differentiation',
    'epochs that are done and told of',
    'saved and restored, it goes on to the bit',
    'one a temperature',
    'draws of z an example, 3 draws an example',
    'a held sigma is no parameter',
    'what it climbs',
  ):
    assert dialect(sentence), sentence
  assert TITLES.match('What of a test split is drawn in numbers.')
  assert HEADLESS.match('of that mean')
  assert HEADLESS.match('the same')
