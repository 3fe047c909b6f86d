"""Supports of likelihoods, in the words that messages use."""

BINARY = '0 and 1'
PIXELS = '8-bit pixels'
UNIT = 'numbers in [0, 1]'
REALS = 'real numbers'
COUNTS = 'counts 0, 1, 2, ...'

# Lowest and highest number in x, where the support has them.
BOUNDS = {BINARY: (0.0, 1.0), PIXELS: (0.0, 1.0), UNIT: (0.0, 1.0)}
