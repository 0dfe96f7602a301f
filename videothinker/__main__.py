"""`python -m videothinker`: the command line, for a checkout that is not installed."""

try:
    from videothinker.cli.main import main
except KeyboardInterrupt:
    raise SystemExit(130) from None

if __name__ == "__main__":
    raise SystemExit(main())
