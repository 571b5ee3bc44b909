"""The instruments: counts, memory and times of an update and of a prediction."""
