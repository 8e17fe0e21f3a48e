"""`python -m tollway.simulator`: serve, or with `--models-prices` print the price list and leave."""

import argparse
import json
import sys

from .models import models
from .server import run


def main() -> None:
    parser = argparse.ArgumentParser(prog="tollway.simulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9090, help="0 takes a free one")
    parser.add_argument("--models-prices", action="store_true", help="print the models and their prices, then leave")
    asked = parser.parse_args()
    if asked.models_prices:
        sys.stdout.write(json.dumps(models(), indent=2) + "\n")
    else:
        run(asked.host, asked.port)


if __name__ == "__main__":
    main()
