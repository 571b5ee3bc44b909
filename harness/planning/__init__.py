"""From what was asked to trials with their keys, which follow the source code that decides a result."""
