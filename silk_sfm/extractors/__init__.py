"""Extractor plug-ins: one file a method."""
