"""What `notebooks/my-notebook.ipynb` reads.

To add a notebook, copy both files under a name of its own, and put that name below.
"""

from deriva_ml.execution import notebook_config

notebook_config(
    "my_notebook",
    defaults={"assets": "default_asset", "datasets": "default_dataset"},
)
