"""Commands that are killed wherever they change something that lasts."""
