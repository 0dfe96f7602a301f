"""A study: arms of training by warm starts by seeds, and what can be said of their differences."""
