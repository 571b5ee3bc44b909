"""Selections such as `saf[steps=[4,8]],ottt`: their grammar, and the choices that they make."""
