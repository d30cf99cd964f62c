"""Images of one grey value, and archives of any members."""

import io
import tarfile

import numpy as np
from PIL import Image


def png(value, side=8):
    """An image of one grey value, as a file."""
    file = io.BytesIO()
    Image.fromarray(np.full((side, side, 3), value, np.uint8)).save(file, "PNG")
    return file.getvalue()


def add(archive, name, data=b"", **settings):
    """Add a member, whatever its name is."""
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for setting, value in settings.items():
        setattr(member, setting, value)
    archive.addfile(member, io.BytesIO(data))
