"""Evaluation: data sets, protocols and metrics of the field, scored from stores."""
