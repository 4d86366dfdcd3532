"""The errors of silk-sfm: each message says what happened, where, and what to do next."""

from __future__ import annotations


class SilkSfmError(Exception):
    """Base of every error that silk-sfm raises on purpose; its text is one readable line."""


class ConfigError(SilkSfmError):
    """An option, a recipe or a combination of them is not valid."""


class ImageError(SilkSfmError):
    """An image or a mask cannot be used."""


class WeightsError(SilkSfmError):
    """A weights file is missing, damaged or made for another network."""


class PluginError(SilkSfmError):
    """A plug-in is unknown, cannot be imported or does not keep its contract."""


class PairError(SilkSfmError):
    """A pair list cannot be read or names images that do not exist."""


class StoreError(SilkSfmError):
    """A store is missing, damaged, in use or made with other settings."""


class ReconstructionError(SilkSfmError):
    """No model could be made; the message names the stage that starved."""


class DatasetError(SilkSfmError):
    """A data set cannot be evaluated: a file of it is missing, malformed or contradicts another."""


class TrainingError(SilkSfmError):
    """A training cannot go on: it went wrong, or its folder belongs to another one."""


class ClusterError(SilkSfmError):
    """Other machines cannot be used: a cluster cannot be reached, or lost its workers."""
