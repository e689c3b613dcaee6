"""Tests of what is run around the program."""
