"""Stores on disk; the only importer of h5py."""

from silk_sfm.store.benchmark_export import benchmark_pairs, export_benchmark
from silk_sfm.store.features import FeatureStore, FeatureWriter, Precision
from silk_sfm.store.global_descriptors import read_global_descriptors
from silk_sfm.store.kinds import StoreKind, store_kind
from silk_sfm.store.matches import MatchStore, MatchWriter, check_collisions, pair_key
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
    "benchmark_pairs",
    "check_collisions",
    "export_benchmark",
    "pack",
    "pair_key",
    "read_global_descriptors",
    "store_kind",
]
