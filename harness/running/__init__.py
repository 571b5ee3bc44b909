"""One run in one results folder: which trials have a record already, what the others leave behind, and the lock."""
