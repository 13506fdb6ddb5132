"""A terminal for what writes to one."""

from __future__ import annotations

import os
import re
import struct
import threading


class Terminal:
    """A terminal in place of stderr; what was written to it."""

    def __init__(self, width: int) -> None:
        import fcntl
        import termios

        self.ours, self.theirs = os.openpty()
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
        self.stream = os.fdopen(self.theirs, "w", encoding="utf-8")
        self.written = b""
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        try:
            while part := os.read(self.ours, 4096):
                self.written += part
        except OSError:  # the other end is closed
            pass

    def close(self) -> str:
        """All that has been written."""
        if not self.stream.closed:
            self.stream.close()
            self.reader.join()
            os.close(self.ours)
        return self.written.decode().replace("\r\n", "\n")

    def lines(self) -> list[str]:
        """As they were drawn, one over the other or below it."""
        return [line.rstrip() for line in re.split("[\r\n]", self.close()) if line.strip()]
