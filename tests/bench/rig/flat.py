"""The yardstick of look-alike search: FAISS flat, one thread, one query at a time.

Run by `bench.similar` in an environment with faiss-cpu: `flat.py DUMP DIMENSIONS`. Then each line on
standard input names a folder with `queries.f32` and `found.u32`; the answer is one line of JSON with
the time of each query and how many of the true best were found.
"""

import json
import pathlib
import sys
import time

import faiss
import numpy as np


def main():
    dump, dimensions = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    faiss.omp_set_num_threads(1)
    ids = np.fromfile(dump / "ids.u32", "<u4")
    stored = np.memmap(dump / "vectors.f16", "<f2", "r").reshape(-1, dimensions)
    index = faiss.IndexFlatIP(dimensions)
    for first in range(0, len(stored), 10_000):
        index.add(np.ascontiguousarray(stored[first:first + 10_000], np.float32))
    print(json.dumps({"vectors": index.ntotal, "version": faiss.__version__}), flush=True)
    for line in sys.stdin:
        block = pathlib.Path(line.strip())
        queries = np.fromfile(block / "queries.f32", "<f4").reshape(-1, dimensions)
        found = np.fromfile(block / "found.u32", "<u4").reshape(len(queries), -1)
        times, right = [], 0
        for query, ours in zip(queries, found):
            begun = time.perf_counter()
            _, best = index.search(query[None], found.shape[1])
            times.append(1000 * (time.perf_counter() - begun))
            right += len(set(ids[best[0]].tolist()) & set(ours.tolist()))
        print(json.dumps({"times_ms": times, "recall": right / found.size}), flush=True)


if __name__ == "__main__":
    main()
