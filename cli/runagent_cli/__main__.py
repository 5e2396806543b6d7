"""`python -m runagent_cli`, for where the console script is not on the path."""

from __future__ import annotations

from runagent_cli.main import main

if __name__ == "__main__":
    main()
