"""One self-contained page about a reconstruction."""
