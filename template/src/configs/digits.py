"""Settings of the example model in `src/models/digits.py`. Choose an entry with `model_config=NAME`."""

from hydra_zen import builds, store

from models.digits import train_digits

model_store = store(group="model_config")

# zen_partial leaves ml_instance and execution open: the run puts them in.
Digits = builds(train_digits, populate_full_signature=True, zen_partial=True)
model_store(Digits, name="default_model")
model_store(Digits(max_iter=10), name="quick")
model_store(Digits(hidden_layer=96), name="wide")
