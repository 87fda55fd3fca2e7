"""Carrying records to another project in one file: what is written into it, and what of it is taken in."""
