"""Exercises in writing backward passes by hand, and worksheets of anybody's forward pass."""
