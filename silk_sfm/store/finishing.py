"""Finished files on their way to the disk, written while the next one fills up."""

from __future__ import annotations

import threading
from pathlib import Path

from silk_sfm.store.hdf5 import write_whole


class FileInWriting:
    """A file that a thread writes; `wait` says when it is on disk."""

    def __init__(self, path: Path, content: bytes) -> None:
        self.path = path
        self._content = content
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to write."""
        self._thread = threading.Thread(target=self._write, name=f"write {self.path.name}")
        self._thread.start()

    def wait(self) -> None:
        """Return when the file is on disk. Raises StoreError when it could not be written.

        Waiting again after that tries again, and so does waiting for a file that was not started.
        """
        if self._thread is None:
            write_whole(self.path, self._content)
            return
        self._thread.join()
        self._thread = None
        if self._error is not None:
            raise self._error

    def _write(self) -> None:
        try:
            write_whole(self.path, self._content)
        except BaseException as error:  # handed to the thread that waits
            self._error = error
