"""A notebook file: its parameters, its execution, its Markdown; knows nothing of catalogs."""
