"""The 7-bit alphabets: the default one, and those of national languages (3GPP TS 23.038, section 6.2.1)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from .alphabet_tables import ESCAPE, EXTENSION, LANGUAGES, LOCKING, UNDEFINED

SPACE = 0x20
IDENTIFIERS = {name: identifier for identifier, name in LANGUAGES.items()}
"""National language identifier by the name of the language."""


@dataclass(frozen=True, slots=True)
class Alphabet:
    """A ``locking`` table and a ``single`` shift table by national language identifier; 0 is the default.

    An identifier that has no such table, as unknown ones, means the default (3GPP TS 23.040, section 9.2.3.24.15).
    """

    locking: int = 0
    single: int = 0

    def encode(self, text: str) -> list[int] | None:
        """``text`` as septets, None if it has characters that this alphabet lacks."""
        codes = _codes(self.locking, self.single)
        septets: list[int] = []
        for character in text:
            found = codes.get(character)
            if found is None:
                return None
            septets += found
        return septets

    def decode(self, septets: list[int]) -> str:
        """The text of ``septets``; U+FFFD where the standard defines no character.

        Behind an escape a code that the extension lacks means the character of the main table (table 6.2.1.1,
        note 1); a second escape means a space; one at the end means nothing.
        """
        main, extension = LOCKING.get(self.locking, LOCKING[0]), EXTENSION.get(self.single, EXTENSION[0])
        text = []
        following = iter(septets)
        for septet in following:
            if septet != ESCAPE:
                text.append(main[septet])
            elif (code := next(following, None)) is not None:
                text.append(" " if code == ESCAPE else extension.get(code, main[code]))
        return "".join(text)


@cache
def _codes(locking: int, single: int) -> dict[str, tuple[int, ...]]:
    """Character -> its one or two septets; the main table is preferred."""
    codes: dict[str, tuple[int, ...]] = {}
    for code, character in enumerate(LOCKING.get(locking, LOCKING[0])):
        if character != UNDEFINED:
            codes.setdefault(character, (code,))
    for code, character in EXTENSION.get(single, EXTENSION[0]).items():
        codes.setdefault(character, (ESCAPE, code))
    return codes


def candidates(language: str | None) -> list[Alphabet]:
    """The alphabets that may be tried for a ``language`` (None: the default one alone), best first."""
    if language is None:
        return [Alphabet()]
    identifier = IDENTIFIERS[language]
    found = [Alphabet(), Alphabet(0, identifier)]
    if identifier in LOCKING:
        found += [Alphabet(identifier, 0), Alphabet(identifier, identifier)]
    return found
