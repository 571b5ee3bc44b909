"""`harness profile`: where one update spends its time."""
