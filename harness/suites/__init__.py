"""Comparisons in TOML files: what to run, values that others published, claims and their verdicts."""
