"""Everything that touches COLMAP; the only importer of pycolmap."""
