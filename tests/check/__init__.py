"""Notebooks, models and configurations checked without running them."""
