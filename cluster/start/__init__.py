"""How the processes of a run come to be, and where they sit."""
