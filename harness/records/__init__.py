"""What is kept of a trial: its record as JSON, the files of a results folder, and where a result was taken."""
