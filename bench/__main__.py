"""`python -m bench NAME [options]`: run one benchmark; without a name, list them."""

from __future__ import annotations

import importlib
import sys

NAMES = {
    "get_small": "GET of 1 KiB, signed, against nginx and moto",
    "put_small": "PUT of 1 KiB, signed and durable, against a bare SQLite loop and moto",
    "get_large": "GET of 64 MiB against nginx with sendfile",
    "put_large": "PUT of 64 MiB against MD5 and the disk",
    "listing": "ListObjectsV2 in a bucket of a million keys against SQLite by hand",
    "by_reference": "CompleteMultipartUpload and CopyObject of 100 MiB and of 10 GiB",
    "footprint": "idle memory, time to the first stored object, import of the command line",
    "install_size": "megabytes on disk beyond Python",
    "workers": "GET and PUT of 1 KiB by one process and by several",
    "engine": "cenote.AsyncDb against the slatedb package, operation by operation",
    "engine_requests": "requests to an S3 server by the engine and the slatedb package",
    "engine_beside": "cenote.Db beside lmdb, rocksdict and SQLite on a local disk",
    "library": "cenote.Store in process, from one thread and from many",
}


def main() -> int:
    """Run the benchmark that is named."""
    if len(sys.argv) < 2 or sys.argv[1] not in NAMES:
        print(__doc__)
        for name, words in NAMES.items():
            print(f"  {name:14} {words}")
        return 2
    name = sys.argv.pop(1)
    module = importlib.import_module(f"bench.{name}")
    code: int = module.main()
    return code


if __name__ == "__main__":
    sys.exit(main())
