"""Two-view and pose geometry in plain numpy."""
