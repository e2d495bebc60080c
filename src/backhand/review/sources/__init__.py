"""Everything that can be reviewed, brought to one shape."""
