"""Stores on disk; the only importer of h5py."""

from silk_sfm.store.features import FeatureStore, FeatureWriter, Precision
from silk_sfm.store.kinds import StoreKind, store_kind
from silk_sfm.store.matches import MatchStore, MatchWriter, check_collisions
from silk_sfm.store.packing import pack
from silk_sfm.store.provenance import Provenance
from silk_sfm.store.verified import VerifiedStore, VerifiedWriter

__all__ = [
    "FeatureStore",
    "FeatureWriter",
    "MatchStore",
    "MatchWriter",
    "Precision",
    "Provenance",
    "StoreKind",
    "VerifiedStore",
    "VerifiedWriter",
    "check_collisions",
    "pack",
    "store_kind",
]
