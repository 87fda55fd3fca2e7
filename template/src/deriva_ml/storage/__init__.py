"""What the project's catalog keeps on the disk: whether it is whole, what it takes, and what can go."""
