"""Plug-ins for silk-sfm from outside: an extractor, a matcher, and an extractor that is broken."""
