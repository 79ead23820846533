"""Reading at a place of an open file, on systems that cannot do so in one call as well."""

import os
import threading

__all__ = ["read_at"]

_seeking = threading.Lock()


def read_at(handle: int, length: int, offset: int) -> bytes:
    """Read up to `length` bytes from `offset` on; the file's own position stays, and threads may share the file."""
    if hasattr(os, "pread"):
        return os.pread(handle, length, offset)
    with _seeking:  # Windows
        before = os.lseek(handle, 0, os.SEEK_CUR)
        try:
            os.lseek(handle, offset, os.SEEK_SET)
            return os.read(handle, length)
        finally:
            os.lseek(handle, before, os.SEEK_SET)
