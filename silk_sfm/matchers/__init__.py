"""Matcher plug-ins: one file a method."""
