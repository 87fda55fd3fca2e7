"""Where records live: the protocol that every catalog keeps, and the catalogs."""
