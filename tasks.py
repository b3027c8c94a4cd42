"""Tasks of this checkout: kamalnb's own, and those for working on kamalnb."""

from kamalnb.development import bench, demo, docs, lint, run_tests
from kamalnb.tasks import collection

ns = collection()
for one in (run_tests, lint, docs, demo):
    ns.add_task(one)
ns.add_collection(bench)
