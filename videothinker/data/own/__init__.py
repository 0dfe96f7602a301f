"""Questions of your own: whatever file they are in becomes the one that training reads."""
