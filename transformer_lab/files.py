"""The learner's files are never half written."""

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write(path: Path, content: bytes) -> None:
    """Replace a file as a whole, also while another process replaces it.

    A power cut leaves the old file or the new one; an error the old one, with nothing beside it.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with partial.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def alone(path: Path, patience: float = 2.0) -> Iterator[None]:
    """Between reading a file and writing it again, no other process does so.

    A lock lies beside the file. One that a crash left is waited for, `patience` seconds, and gone.
    """
    lock = path.with_name(f".{path.name}.lock")
    deadline = time.monotonic() + patience
    while True:
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL))
            break
        except FileExistsError:
            if time.monotonic() > deadline:
                break
            time.sleep(0.002)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
