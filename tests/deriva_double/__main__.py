"""The double as a process of its own, for benchmarks: says where it is, serves, and counts when its input ends.

``python -m deriva_double --catalog head`` writes one line of JSON with the url, an admin's cookie and the catalogs' ids;
when standard input is closed it writes another with the requests that it got, and ends.
"""

from __future__ import annotations

import argparse
import json
import sys

from .server import DerivaDouble


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(prog="deriva_double", description=__doc__)
    parser.add_argument("--catalog", action="append", default=[], choices=("head", "1.17.10", "bare"))
    parser.add_argument("--public", action="store_true", help="let everyone read")
    parser.add_argument("--drop-over", type=int, help="keep only the digests of objects with more bytes")
    arguments = parser.parse_args()
    with DerivaDouble() as double:
        double.hatrac.store.drop_over = arguments.drop_over
        catalogs = [double.create_catalog(one, public=arguments.public) for one in arguments.catalog]
        print(json.dumps({"url": double.url, "catalogs": catalogs, **double.credential()}), flush=True)
        for line in sys.stdin:
            if line.strip() == "clear":
                double.log.clear()
        print(json.dumps({"object_puts": double.log.object_puts, "others": double.log.others}), flush=True)


if __name__ == "__main__":
    main()
