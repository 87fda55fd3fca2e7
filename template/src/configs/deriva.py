"""Where runs are recorded. Choose an entry with `deriva_ml=NAME`."""

from hydra_zen import builds, store

from deriva_ml import DerivaMLConfig, project_settings

Catalog = builds(DerivaMLConfig, populate_full_signature=True)
deriva_store = store(group="deriva_ml")

# This project's own catalog, in the folder .deriva-ml: no server, no login.
deriva_store(Catalog(), name="default_deriva")

# The Deriva server that others find the results on, as [tool.deriva-ml] in pyproject.toml names it.
settings = project_settings(__file__)
production = Catalog(hostname=settings.hostname, catalog_id=settings.catalog_id)
deriva_store(production, name="production")
