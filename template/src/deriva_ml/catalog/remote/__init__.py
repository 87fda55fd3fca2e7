"""Catalogs on Deriva servers."""
