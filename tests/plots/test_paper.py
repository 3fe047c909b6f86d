from vae_jax.plots import paper


def test_titles_are_broken_to_fit():
  title = 'some words that are too long for two inches of paper'
  lines = paper.wrap(title, 2.0).splitlines()
  assert len(lines) > 1
  assert ' '.join(lines) == title
  assert max(map(len, lines)) <= 22


def test_ten_colours_differ():
  assert len(set(paper.PALETTE)) == 10
