"""Reading what was recorded: results, comparison, lineage."""
