"""Corpora that lie elsewhere: mirrored into the data folder, by a process of its own, and built from there."""
