"""Speed and memory: bkgflow beside the reference step, on the same simulated files.

``make bench`` runs both sides of every case alternately in one run and writes
``benchmarks/results.json`` and ``results.md``; ``make scale`` measures how the cost grows and
writes ``benchmarks/scale.json`` and ``scale.png``. Every contender lives in a process of its
own, warm before anything is timed, and its files are in the page cache.
"""
