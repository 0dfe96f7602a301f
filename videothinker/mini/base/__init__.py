"""Making the miniature world's base model: tokenizer, lessons, warm start, probes."""
