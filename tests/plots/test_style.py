import struct

from matplotlib.figure import Figure

from vae_jax.plots import style


def test_titles_wrap_to_the_width():
  title = 'some words that are too long for two inches of paper'
  lines = style.wrap(title, 2.0).splitlines()
  assert len(lines) > 1
  assert ' '.join(lines) == title
  assert max(map(len, lines)) <= 22


def test_ten_colours_differ():
  assert len(set(style.PALETTE)) == 10


def test_to_png_renders_at_150_dots_per_inch():
  figure = Figure(figsize=(4, 3))
  figure.subplots().set_axis_off()
  figure.text(0, 0, 'a')
  figure.text(1, 1, 'b')
  png = style.to_png(figure)
  assert png.startswith(b'\x89PNG\r\n\x1a\n')
  width, height = struct.unpack('>II', png[16:24])
  # The tight bounding box adds a margin of 0.1 inches on each side, and the
  # letter at the upper right end.
  assert 620 <= width <= 660
  assert 470 <= height <= 510
