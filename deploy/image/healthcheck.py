"""Whether a container of bkgflow is well: exit status 0 or 1, and in the latter case why.

A scheduler or a worker is asked at the URL that BKGFLOW_HEALTH names, such as
http://127.0.0.1:8787/health. Where it names none, a scratch file must be possible.
"""

import os
import sys
import tempfile
import urllib.request

TIMEOUT = 5.0
"""Seconds that an answer may take."""


def main() -> None:
    """Ask, or try."""
    url = os.environ.get("BKGFLOW_HEALTH")
    try:
        if url:
            # Whatever proxy there is, it is not asked about this container.
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            opener.open(url, timeout=TIMEOUT).close()
        else:
            with tempfile.TemporaryFile() as file:
                file.write(b"well")
    except OSError as problem:
        sys.exit(f"Not well: {url or 'the scratch folder'}: {problem}")


if __name__ == "__main__":
    main()
