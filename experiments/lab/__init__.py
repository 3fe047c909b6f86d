"""Gradient study: bias, variance and cost of gradient estimators."""
