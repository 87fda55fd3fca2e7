"""The commands of a project: argument parsing and messages, one module each."""
