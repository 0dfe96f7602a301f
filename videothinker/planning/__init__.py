"""What is known before anything starts: memory, seconds, disk, and the layout they allow."""
