"""Tasks of this checkout: kamalnb's own, and those for working on kamalnb."""

from dev_tasks import bench, demo, lint, test
from kamalnb.tasks import ns

for one in (test, lint, demo):
    ns.add_task(one)
ns.add_collection(bench)
