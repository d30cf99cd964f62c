"""Sequences of frames: what is in each, how near things come to each other over time, and what was taught of it."""
