"""What the paper prints: prompts, rewards, advantages, the loss, the divergence, the guard."""
