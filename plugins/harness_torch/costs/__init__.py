"""The work of an operator: multiply-accumulates, element-wise operations and bytes moved, by formula."""
