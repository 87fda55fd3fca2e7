"""A project's configurations: registering, finding and composing them with Hydra and hydra-zen."""
