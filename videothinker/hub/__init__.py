"""The Hugging Face Hub: models and data sets found, pinned and brought; models pushed."""
