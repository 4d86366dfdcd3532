"""Stores on disk; the only importer of h5py."""
