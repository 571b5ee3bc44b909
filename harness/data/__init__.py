"""The data folder and what is taken from it: official files, how to fetch them, smaller subsets of their rows."""
