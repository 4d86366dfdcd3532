"""COLMAP: cameras, database, mapping, models. The only importer of pycolmap.

pycolmap 4.2.1 exports a zlib of its own. Loaded first, it takes the place of the system's inside
Python's `zlib`, which then crashes on the first compression; so `zlib` has to be there before.
"""

import zlib  # noqa: F401
