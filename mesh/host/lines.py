"""`LineSplitter`: bytes in pieces become whole lines, none of them endless."""

from __future__ import annotations

LONGEST = 256 * 1024


class LineSplitter:
    """Feed it what arrives; it gives back the lines that are complete, without their ends.

    A line longer than `longest` bytes is handed on in pieces: a program that never ends its line must not fill our memory.
    """

    def __init__(self, longest: int = LONGEST) -> None:
        self._longest = longest
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        lines = [piece for line in whole for piece in self._pieces(line)]
        while len(self._rest) > self._longest:
            lines.append(self._rest[: self._longest])
            self._rest = self._rest[self._longest :]
        return lines

    def end(self) -> list[bytes]:
        """What is left when nothing more comes."""
        rest, self._rest = self._rest, b""
        return self._pieces(rest) if rest else []

    def _pieces(self, line: bytes) -> list[bytes]:
        line = line.removesuffix(b"\r")
        return [line[start : start + self._longest] for start in range(0, len(line), self._longest)] or [b""]
