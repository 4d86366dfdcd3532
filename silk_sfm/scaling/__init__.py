"""Stages on many machines: Ray clusters, and shares for the tasks of an array job."""
