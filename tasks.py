"""Tasks of this checkout: kamalnb's own, and those for working on kamalnb."""

from kamalnb.development import bench, demo, docs, lint, run_tests, soak
from kamalnb.tasks import collection

ns = collection()
for one in (run_tests, lint, docs, demo, soak):
    ns.add_task(one)
ns.add_collection(bench)
