"""Say where a configuration lies, or which there are."""

from __future__ import annotations

import sys

from rsaug.downstream.configs import config_names, config_path
from rsaug.errors import InputError


def main(arguments: list[str]) -> int:
    """Write the path of the configuration of a name, or all names; the status is returned."""
    try:
        lines = [str(config_path(name)) for name in arguments] or config_names()
    except InputError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
