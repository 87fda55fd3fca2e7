"""What runs can be configured with: each module is loaded before a run and registers its entries by name."""
