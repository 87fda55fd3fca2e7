"""A person's own files as datasets: made, changed, named."""
