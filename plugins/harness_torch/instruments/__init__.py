"""The instruments: what is counted, held and timed of an update and of a prediction."""
