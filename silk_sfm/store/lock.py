"""One writer at a time: a lock that names its holder and ends with its process."""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from silk_sfm.errors import StoreError
from silk_sfm.store.hdf5 import explained


class WriterLock:
    """An exclusive lock of the operating system, released even when its process is killed."""

    def __init__(self, store: Path, folder: Path) -> None:
        self.store = store
        self._holder = folder / "writer.json"
        self._lock = FileLock(folder / "writer.lock")

    def acquire(self) -> None:
        """Raises StoreError that names the process which holds the lock."""
        with explained(self._holder.parent):
            try:
                self._lock.acquire(timeout=0)
            except Timeout:
                raise StoreError(
                    f"{self.store} is being written by {self._describe_holder()}. "
                    "Wait until it is done, or stop it."
                ) from None
        holder = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": datetime.now().astimezone().isoformat(sep=" ", timespec="seconds"),
        }
        with suppress(OSError):  # on a full disk the lock still holds, without a name
            self._holder.write_text(json.dumps(holder), encoding="utf-8")

    def release(self) -> None:
        """Let another process write."""
        if self._lock.is_locked:
            self._holder.unlink(missing_ok=True)
            self._lock.release()

    def _describe_holder(self) -> str:
        try:
            holder = json.loads(self._holder.read_text(encoding="utf-8"))
            return f"process {holder['pid']} on {holder['host']} since {holder['since']}"
        except (OSError, ValueError, KeyError):  # it is just starting or ending
            return "another process"
