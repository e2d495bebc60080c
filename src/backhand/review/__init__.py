"""Review: a backward pass that somebody wrote by hand, judged line by line."""
