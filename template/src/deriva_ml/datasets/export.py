"""Writes a version of a dataset out, as a folder or as a .zip: its files at their paths, each checked on the way."""

from __future__ import annotations
