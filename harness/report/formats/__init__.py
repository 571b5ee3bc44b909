"""A summary or a record as text: for terminals, for documents, for other programs."""
