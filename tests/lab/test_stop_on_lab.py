"""Stop, start, stale and remove on real hosts, under load: what was in flight is answered, what stands is as said."""

from __future__ import annotations

import threading
import time
from http.client import HTTPConnection, HTTPException

import pytest
from conftest import MakeShop
from shop import NO_WEBSOCKET, Shop, assert_nothing_lost, until
from surroundings import Surroundings, done, refused

from kamalnb.flows.removing import container_removed, containers_removed, images_removed
from kamalnb.flows.stopping import stale_stopped, started, stopped


@pytest.fixture(scope="module")
def shop(make_shop: MakeShop) -> Shop:
    return make_shop("stopshop")


class Slow(threading.Thread):
    """One request of a few seconds through a host's proxy."""

    def __init__(self, shop: Shop, host: str, seconds: float) -> None:
        super().__init__(daemon=True)
        self.connection = HTTPConnection(shop.lab.host(host).proxy_url.removeprefix("http://"), timeout=30)
        self.seconds = seconds
        self.headers = {"Host": shop.host_header}
        self.status = 0
        self.why = ""
        self.start()

    def run(self) -> None:
        try:
            self.connection.request("GET", f"/slow?seconds={self.seconds:g}", headers=self.headers)
            self.status = self.connection.getresponse().status
        except (OSError, HTTPException) as error:
            self.why = repr(error)
        finally:
            self.connection.close()


def nothing(*_: object) -> None:
    """Nobody listens."""


def test_requests_in_flight_on_the_stopped_host_finish_and_the_other_host_loses_nothing(shop: Shop) -> None:
    shop.must_boot("v1")
    with shop.load(NO_WEBSOCKET, hosts=("web-2",)) as load:
        slow = [Slow(shop, "web-1", 3.0) for _ in range(5)]
        time.sleep(0.7)
        outcomes = Surroundings(shop).roles(stopped, hosts=("web-1",))
        for one in slow:
            one.join(timeout=30)
    assert done(outcomes) == "web: v1 was stopped; nothing of it runs there now."
    assert [(one.status, one.why) for one in slow] == [(200, "")] * 5
    assert_nothing_lost(load.stop())
    assert shop.standing("web-1").running == ()
    assert list(shop.standing("web-1").cords.values()) == ["cut"]
    assert shop.standing("web-1").runs == ()
    assert shop.version_at("web-1") == ""
    assert shop.version_at("web-2") == "v1"


def test_stopping_again_says_that_nothing_ran(shop: Shop) -> None:
    assert done(Surroundings(shop).roles(stopped, hosts=("web-1",))) == "web: nothing ran there; nothing was changed."


def test_stopped_container_serves_again_and_the_other_host_never_noticed(shop: Shop) -> None:
    before = shop.standing("web-1").containers
    with shop.load(NO_WEBSOCKET, hosts=("web-2",)) as load:
        outcomes = Surroundings(shop).roles(started, hosts=("web-1",))
    assert done(outcomes) == "web: v1 serves again."
    assert shop.version_at("web-1") == "v1"
    assert set(shop.standing("web-1").containers) == set(before), "no new container was made"
    assert_nothing_lost(load.stop())


def test_boot_over_a_started_container_loses_nothing(shop: Shop) -> None:
    with shop.load(NO_WEBSOCKET) as load:
        shop.must_boot("v2", after="v1")
    assert_nothing_lost(load.stop())


def test_older_version_is_not_started_beside_the_one_that_serves(shop: Shop) -> None:
    told = refused(Surroundings(shop).roles(lambda change: started(change, "v1"), hosts=("web-1",)))
    assert told.startswith("v2 serves there already, so v1 was not started.")
    assert shop.standing("web-1").running == ("stopshop-web-v2",)


def test_stale_container_is_stopped_under_load_without_loss(shop: Shop) -> None:
    shop.shell("web-1", "docker start stopshop-web-v1 >/dev/null")
    assert len(shop.standing("web-1").running) == 2
    with shop.load(NO_WEBSOCKET) as load:
        outcomes = Surroundings(shop).roles(stale_stopped)
    assert done(outcomes) == "web: stopped stopshop-web-v1; v2 runs on."
    assert done(outcomes, "web-2") == "web: no stale container runs there."
    assert shop.standing("web-1").running == ("stopshop-web-v2",)
    assert_nothing_lost(load.stop())


def test_dead_controller_leaves_a_clean_end(shop: Shop) -> None:
    """The connection dies in the drain: the host finishes by itself."""
    from kamalnb.errors import HostUnreachable
    from kamalnb.flow import Run
    from kamalnb.script import Script
    from kamalnb.ssh import SshExecutor

    around = Surroundings(shop)
    config = around.project.config
    executor = SshExecutor(config.ssh, directory=around.project.root)
    flow = stopped(around.on("web-1").of(config.role("web")))
    slow = Slow(shop, "web-1", 3.0)
    time.sleep(0.5)
    answer: object = None
    told: list[object] = []
    try:
        while True:
            effect = flow.send(answer)
            answer = None
            if isinstance(effect, Run) and effect.script.journal:
                script: Script = effect.script
                # Gone as soon as the cord is cut: what aborts is the controller, as if it were killed.
                executor.run("web-1", script, lambda *result: told.append(result), nothing, lambda: bool(told))
                break
            if isinstance(effect, Run):
                answer = executor.run("web-1", effect.script, nothing, nothing)
    except HostUnreachable:
        pytest.fail("the host could not be reached")
    finally:
        flow.close()
        executor.close()
    until(lambda: shop.standing("web-1").running == (), "it is stopped", 30)
    slow.join(timeout=30)
    assert (slow.status, slow.why) == (200, "")
    again = around.roles(lambda change: started(change, "v2"), hosts=("web-1",))
    assert done(again) == "web: v2 serves again."


def test_removing_a_running_version_lets_its_requests_finish(shop: Shop) -> None:
    slow = [Slow(shop, "web-2", 2.0) for _ in range(3)]
    time.sleep(0.5)
    outcomes = Surroundings(shop).roles(lambda change: container_removed(change, "v2"), hosts=("web-2",))
    for one in slow:
        one.join(timeout=30)
    assert done(outcomes, "web-2") == "web: removed 1 container (v2); v2 ran and was stopped first."
    assert [(one.status, one.why) for one in slow] == [(200, "")] * 3
    standing = shop.standing("web-2")
    assert set(standing.containers) == {"stopshop-web-v1"}
    assert list(standing.cords.values()) == ["cut"]


def test_removing_all_leaves_no_container_and_no_cord_and_the_neighbours_untouched(
    shop: Shop, make_shop: MakeShop
) -> None:
    neighbour = make_shop("stopshop-two")
    neighbour.must_boot("v3")
    with neighbour.load(NO_WEBSOCKET) as load:
        outcomes = Surroundings(shop).roles(containers_removed)
    assert all(outcome.ok for outcome in outcomes.values()), outcomes
    for host in shop.hosts:
        assert (shop.standing(host).containers, shop.standing(host).cords) == ({}, {})
    assert_nothing_lost(load.stop())


def test_images_of_running_containers_stay(shop: Shop, make_shop: MakeShop) -> None:
    """On a repository of the test's own: the lab's images are everybody's."""
    shop.shell("web-1", "for v in v3 v4; do docker tag registry:5000/app:$v registry:5000/stopapp:$v; done")
    shop.shell("web-1", "docker run -d --name stopshop-user registry:5000/stopapp:v3 >/dev/null")
    try:
        outcomes = Surroundings(shop, image="stopapp").each(images_removed, hosts=("web-1",))
        sentence = done(outcomes)
        left = shop.shell("web-1", "docker image ls registry:5000/stopapp --format '{{.Tag}}'").split()
        others = shop.shell("web-1", "docker image ls registry:5000/app --format '{{.Tag}}'").split()
    finally:
        shop.shell("web-1", "docker rm -f stopshop-user >/dev/null; docker rmi registry:5000/stopapp:v3 >/dev/null")
    assert "stopshop-user" in sentence
    assert left == ["v3"]
    assert {"v3", "v4"} <= set(others), "the images of other repositories are not ours to remove"
