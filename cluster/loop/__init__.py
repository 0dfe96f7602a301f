"""What a step is: its groups, its state, its figures, what it leaves out."""
