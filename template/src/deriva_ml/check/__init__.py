"""Reading notebooks, models and configurations, without running them, for what keeps a run from being repeated."""
