"""`harness agree`: whether two methods, or a method and its reference, compute the same on one mini-batch."""
