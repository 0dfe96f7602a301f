"""`python -m videothinker`: the command line, for a checkout that is not installed."""

from videothinker.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
