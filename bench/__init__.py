"""Measurements; bench/README.md says how each is taken."""
