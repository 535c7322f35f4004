"""The learner's files are never half written."""

import os
import secrets
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
