"""What `notebooks/my_analysis.ipynb` reads: models to compare, and images to compare them on."""

from deriva_ml.execution import notebook_config

notebook_config(
    "my_analysis",
    defaults={"assets": "comparison_weights", "datasets": "training_data"},
)
