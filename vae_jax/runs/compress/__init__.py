"""Lossless compression with a trained model: bits-back coding with ANS."""
