"""Kinds of models: a file has all that a family has of its own, `known` is the list of them."""
