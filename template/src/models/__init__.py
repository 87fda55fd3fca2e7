"""Your models: plain functions that `deriva-ml-run` calls with what the configuration says."""
