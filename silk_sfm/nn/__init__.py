"""Networks and functions on tensors."""
