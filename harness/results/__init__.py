"""From what was asked for to results, as the command line and Python both do it: planned, run, read, told again."""
