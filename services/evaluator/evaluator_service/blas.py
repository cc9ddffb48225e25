"""One BLAS thread in this process, from the import of this module on.

A BLAS with several threads divides a sum among them, so that the last digits of an inner product depend on
how many there are, and a ratio near its noise floor (a SAR) shows it in the ninth decimal. The same signals
must give the same bits in every process, with any number of workers, under any load. Hence one thread; this
package divides the work itself, into pieces that are each computed alone (:mod:`.parallel`). It is faster,
too: two kinds of threads compete for the same cores at several times the cost.

The limit is set once and never lifted: lifting it would be a race with other threads that still compute. It
concerns BLAS alone, in this process and those that it forks; OpenMP and its kind keep their threads. Between
processors of different kinds, whose kernels add in different orders, the last digits may still differ.
"""

from __future__ import annotations

import scipy.linalg  # noqa: F401  # a limit holds for libraries that are loaded: NumPy's and SciPy's own
from threadpoolctl import threadpool_limits

threadpool_limits(limits=1, user_api="blas")
