"""Limit the numerical libraries of this process to one thread; import it before numpy is loaded.

For jobs that use their cores by :mod:`sfqa.parallel`. Snakemake sets the number of threads of these
libraries to that of the job. Each forked process would then start as many, and on two cores four
busy threads took four times the processor time of one.
"""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
