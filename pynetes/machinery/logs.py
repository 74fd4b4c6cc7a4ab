"""How every component logs: one line an event, in klog's form, to standard error or to a rotated file.

The form is `I1121 08:15:00.123456    4711 pod.py:42] message`: a letter for the level, the date, the time, the
process, the place, the text. Levels above 0 of `verbosity` turn on debug lines, as `-v` does upstream.
"""

import logging
import logging.handlers
import sys
from pathlib import Path

from pynetes.machinery import clock

_LETTERS = {logging.DEBUG: "D", logging.INFO: "I", logging.WARNING: "W", logging.ERROR: "E", logging.CRITICAL: "F"}
_FILE_BYTES = 10 * 1024 * 1024
_BACKUPS = 2
_chosen: Path | None = None


class KlogFormatter(logging.Formatter):
    """Formats a record as klog does."""

    def format(self, record: logging.LogRecord) -> str:
        moment = clock.from_timestamp(record.created)
        head = (
            f"{_LETTERS.get(record.levelno, 'I')}{moment:%m%d %H:%M:%S.%f} {record.process:>7} "
            f"{record.filename}:{record.lineno}] {record.getMessage()}"
        )
        return f"{head}\n{self.formatException(record.exc_info)}" if record.exc_info else head


def setup(verbosity: int = 0, file: Path | None = None) -> None:
    """Send this process's log to `file` (rotated at 10 MiB, two kept) or to standard error.

    A file that was chosen once stays: the supervisor chooses it, the component it becomes sets only its verbosity.
    """
    global _chosen
    _chosen = file or _chosen
    handler: logging.Handler
    if _chosen is None:
        handler = logging.StreamHandler(sys.stderr)
    else:
        handler = logging.handlers.RotatingFileHandler(_chosen, maxBytes=_FILE_BYTES, backupCount=_BACKUPS)
    handler.setFormatter(KlogFormatter())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(logging.DEBUG if verbosity > 0 else logging.INFO)
    for chatty in ("asyncio", "aiohttp.access", "grpc", "pyroute2"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
