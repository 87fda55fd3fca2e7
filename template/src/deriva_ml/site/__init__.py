"""A folder of pages that shows what was recorded: what is written into it, and what of it is written anew."""
