"""Tables computed from records: rows, comparisons between them, and notes on what may spoil these."""
