"""The only package that imports Ray: places, feeds and watches the actors; `train.py` is the loop."""
