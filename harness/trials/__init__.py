"""One trial, from its description to its record: set up, the timed pass, the profiled pass, the scores."""
