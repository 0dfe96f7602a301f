"""The command line: words typed, what is printed, exit codes, and what is installed here."""
