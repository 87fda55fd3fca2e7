"""Sweeps."""

from deriva_ml.execution import multirun_config

multirun_config(
    "degrees",
    overrides=["+experiment=spring_mean", "model_config.degree=0,1"],
    description="""## Degrees

| Degree | is |
|--------|----|
| 0 | a mean |
""",
)
