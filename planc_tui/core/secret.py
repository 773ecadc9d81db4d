"""Passwords and tokens on their way from where they are kept to the driver that needs them.

Invariant: the text of a secret appears in no repr, str, log line, traceback or comparison; only `reveal`
gives it out.
"""

from __future__ import annotations

from typing import NoReturn

MASK = "•••"


class Secret:
    """A password or token.

    >>> secret = Secret("hunter2")
    >>> f"{secret} {secret!r}"
    '••• Secret(•••)'
    >>> secret.reveal()
    'hunter2'
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The secret itself: for the driver's call and nothing else."""
        return self._text

    def __repr__(self) -> str:
        return f"Secret({MASK})"

    def __str__(self) -> str:
        return MASK

    def __bool__(self) -> bool:
        return bool(self._text)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled or copied")


def scrub(text: str, *secrets: Secret | None) -> str:
    """`text` with every occurrence of the secrets masked: for error messages of drivers and commands.

    >>> scrub("login root:hunter2 failed", Secret("hunter2"), None)
    'login root:••• failed'
    """
    for secret in secrets:
        if secret is not None and secret:
            text = text.replace(secret.reveal(), MASK)
    return text
