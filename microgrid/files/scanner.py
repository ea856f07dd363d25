"""Reading JSON by its grammar, one expected token after the other, so that nothing else gets in.

A general parser would build whatever a file describes, many times the file's size, and keep the
last of two equal keys. Here every step knows what must come next and raises at the first byte that
does not fit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..errors import FileFormatError

BLANKS = re.compile(rb"[ \t\n\r]*")
PLAIN = re.compile(rb'[^"\\\x00-\x1f]*')
# Twenty digits hold every 64-bit number; a longer one is not worth converting.
NATURAL = re.compile(rb"(?:0|[1-9][0-9]{0,19})(?![0-9.eE])")
SHOWN = 12  # bytes of the file in a message


class Scanner:
    """A place in a JSON text that moves forward as expected tokens are found.

    Args:
        text: the JSON, in UTF-8.
        origin: where the text starts in its file, for messages.

    >>> scanner = Scanner(b'{"shape": [2, 3]}')
    >>> [(name, scanner.naturals(limit=64)) for name in scanner.members()]
    [('shape', (2, 3))]
    """

    def __init__(self, text: bytes, origin: int = 0) -> None:
        self.text = text
        self.origin = origin
        self.at = 0

    def fault(self, needed: str) -> FileFormatError:
        """Return the error that says what stands here instead of what is needed."""
        found = self.text[self.at : self.at + SHOWN]
        what = repr(found)[1:] if found else "the end of the header"
        return FileFormatError(
            f"at byte {self.origin + self.at} there is {what}; it needs {needed}."
        )

    def take(self, token: bytes) -> bool:
        """Return whether the token comes next, and step behind it if so."""
        self._skip_blanks()
        found = self.text.startswith(token, self.at)
        self.at += len(token) if found else 0
        return found

    def expect(self, token: bytes) -> None:
        """Step behind the token.

        Raises:
            FileFormatError: something else comes next.
        """
        if not self.take(token):
            raise self.fault(repr(token.decode()))

    def end(self) -> None:
        """Raise unless only blanks are left.

        Raises:
            FileFormatError: more follows.
        """
        self._skip_blanks()
        if self.at < len(self.text):
            raise self.fault("nothing but blanks behind the JSON object")

    def members(self) -> Iterator[str]:
        """Yield the names of an object; whoever asks for the next has scanned the value.

        Raises:
            FileFormatError: it is no object, or a name occurs twice.
        """
        self.expect(b"{")
        if self.take(b"}"):
            return
        seen: set[str] = set()
        while True:
            name = self.string()
            if name in seen:
                raise FileFormatError(
                    f"the name {shown(name)} occurs twice in one object; it needs each name once."
                )
            seen.add(name)
            self.expect(b":")
            yield name
            if not self.take(b","):
                break
        self.expect(b"}")

    def string(self) -> str:
        """Return the text between quotes, with its escapes resolved.

        Raises:
            FileFormatError: there is none, or it is not Unicode text.
        """
        self.expect(b'"')
        start = end = self.at
        while True:
            plain = PLAIN.match(self.text, end)
            end = plain.end() if plain else end
            if self.text.startswith(b'"', end):
                break
            if not self.text.startswith(b"\\", end):
                self.at = end
                raise self.fault("a closing quote before control characters and the end")
            end += 2
        try:
            import json  # here, since few programs need it

            value = str(json.loads(self.text[start - 1 : end + 1].decode("utf-8")))
            value.encode("utf-8")  # half a surrogate pair is no text
        except ValueError:
            self.at = start
            raise self.fault("Unicode text in UTF-8 with JSON's escapes") from None
        self.at = end + 1
        return value

    def natural(self) -> int:
        """Return a whole number that is not negative.

        Raises:
            FileFormatError: there is none, or one of more than 20 digits.
        """
        self._skip_blanks()
        digits = NATURAL.match(self.text, self.at)
        if digits is None:
            raise self.fault("a whole number from 0 to 2**63 - 1")
        self.at = digits.end()
        return int(digits.group())

    def naturals(self, limit: int) -> tuple[int, ...]:
        """Return an array of whole numbers, at most `limit` of them.

        Raises:
            FileFormatError: it is something else, or longer.
        """
        self.expect(b"[")
        if self.take(b"]"):
            return ()
        numbers = [self.natural()]
        while self.take(b","):
            if len(numbers) == limit:
                raise self.fault(f"at most {limit} numbers in this array")
            numbers.append(self.natural())
        self.expect(b"]")
        return tuple(numbers)

    def _skip_blanks(self) -> None:
        blanks = BLANKS.match(self.text, self.at)
        self.at = blanks.end() if blanks else self.at


def shown(name: str) -> str:
    """Return a name as messages show it: quoted, and cut if it is long.

    >>> shown("layer " * 20)
    "'layer layer layer layer layer layer layer layer layer layer ...'"
    """
    return repr(name if len(name) <= 63 else f"{name[:60]}...")
