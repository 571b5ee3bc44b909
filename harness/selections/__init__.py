"""What a selection such as `saf[steps=[4,8]],ottt` means: its grammar, and the choices that it makes."""
