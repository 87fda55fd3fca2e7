"""Running a recorded execution again, and saying whether it gave the same."""
