"""The only package that imports Ray; start reading at `train.py`, the loop."""

import os

# Ray reads this when it is imported, so it has to stand before: processes without the token are
# refused, on private clusters as on those that `ray start` makes.
os.environ.setdefault("RAY_AUTH_MODE", "token")
