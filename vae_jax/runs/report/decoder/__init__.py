"""Decoder of a run as a program in JavaScript, inside its HTML page."""
