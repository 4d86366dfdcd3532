"""Needs a module that does not exist: broken, as plug-ins of others may be."""

from a_library_that_nobody_has import something  # noqa: F401
