"""Print the table of operations: `python -m cenote.s3`."""

import sys

from cenote.s3.coverage import coverage_table

sys.stdout.write(coverage_table())
