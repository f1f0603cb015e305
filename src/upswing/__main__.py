"""The same as the console script: python -m upswing."""

from upswing.cli import main

if __name__ == "__main__":  # worker processes import this file too
    main()
