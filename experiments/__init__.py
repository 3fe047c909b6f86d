"""Command-line scripts; each parses flags and makes one library call."""
