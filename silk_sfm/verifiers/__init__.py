"""Verifier plug-ins: one file a method."""
