"""Services end to end: API server → agent → nftables → packets between pods."""

import asyncio
from collections import Counter

from tests.component.network.lab import Lab

HTTP = [{"name": "http", "port": 80, "targetPort": 8080}]


async def test_a_cluster_ip_spreads_over_pods_of_all_nodes_and_pods_see_the_clients_address(lab: Lab) -> None:
    one, two = await lab.add_node(1), await lab.add_node(2)
    servers = [lab.add_pod(one), lab.add_pod(two)]
    client = lab.add_pod(one)
    for index, pod in enumerate(servers):
        lab.serve(pod, 8080, f"server-{index}")
    service = await lab.service("web", HTTP, servers)
    address = service["spec"]["clusterIP"]
    await lab.until(lambda: _serves(lab, address, 80, client))

    answers = Counter([await lab.get(address, 80, client) for _ in range(40)])

    assert set(answers) == {f"server-0 {client.address} /", f"server-1 {client.address} /"}
    assert (await lab.get(address, 80, one)).startswith("server-"), "from the node itself"
    assert (await lab.get(address, 80)).startswith("server-"), "from the host, by route"


async def _serves(lab: Lab, address: str, port: int, where: object) -> bool:
    return (await lab.get(address, port, where)).startswith("server-")  # type: ignore[arg-type]  # Pod, Node or None


async def test_a_pod_reaches_itself_through_its_service(lab: Lab) -> None:
    node = await lab.add_node(1)
    pod = lab.add_pod(node)
    lab.serve(pod, 8080, "server-0")
    service = await lab.service("web", HTTP, [pod])
    await lab.until(lambda: _serves(lab, service["spec"]["clusterIP"], 80, pod))


async def test_a_rollout_loses_no_request(lab: Lab) -> None:
    node = await lab.add_node(1)
    client = lab.add_pod(node)
    pods = [lab.add_pod(node) for _ in range(6)]
    for index, pod in enumerate(pods):
        lab.serve(pod, 8080, f"server-{index}")
    service = await lab.service("web", HTTP, pods[:3])
    address = service["spec"]["clusterIP"]
    await lab.until(lambda: _serves(lab, address, 80, client))
    outcomes: Counter[str] = Counter()
    stop = asyncio.Event()

    async def load() -> None:
        while not stop.is_set():
            outcomes[(await lab.get(address, 80, client)).split()[0]] += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(load())
        for first in (1, 2, 3, 2, 1, 0, 1, 2, 3):
            await lab.endpoints("web", HTTP, pods[first : first + 3])
            await asyncio.sleep(0.1)
        stop.set()

    assert set(outcomes) == {f"server-{index}" for index in range(6)}
    await lab.endpoints("web", HTTP, pods[5:])
    await asyncio.sleep(0.2)
    assert {await lab.get(address, 80, client) for _ in range(10)} == {f"server-5 {client.address} /"}


async def test_a_service_without_endpoints_refuses_at_once(lab: Lab) -> None:
    node = await lab.add_node(1)
    client = lab.add_pod(node)
    service = await lab.service("web", HTTP, [], type="NodePort")
    address, node_port = service["spec"]["clusterIP"], service["spec"]["ports"][0]["nodePort"]
    await lab.until(lambda: _is(lab, address, 80, client, "refused"))
    assert await lab.get(address, 80, node) == "refused"
    assert await lab.get(node.address, node_port) == "refused"
    pod = lab.add_pod(node)
    lab.serve(pod, 8080, "server-0")
    await lab.endpoints("web", HTTP, [pod])
    await lab.until(lambda: _serves(lab, address, 80, client))
    assert await lab.get(address, 81, client) == "refused", "a port that the service does not have"
    assert (await lab.get(node.address, node_port)).startswith("server-0")


async def _is(lab: Lab, address: str, port: int, where: object, answer: str) -> bool:
    return await lab.get(address, port, where) == answer  # type: ignore[arg-type]  # Pod, Node or None


async def test_client_affinity_holds_across_new_endpoints_and_agents_and_moves_when_its_endpoint_goes(lab: Lab) -> None:
    node = await lab.add_node(1)
    client = lab.add_pod(node)
    pods = [lab.add_pod(node) for _ in range(4)]
    for index, pod in enumerate(pods):
        lab.serve(pod, 8080, f"server-{index}")
    service = await lab.service("web", HTTP, pods[:3], sessionAffinity="ClientIP")
    address = service["spec"]["clusterIP"]
    await lab.until(lambda: _serves(lab, address, 80, client))

    first = await lab.get(address, 80, client)
    assert {await lab.get(address, 80, client) for _ in range(20)} == {first}

    await lab.endpoints("web", HTTP, pods)
    await asyncio.sleep(0.2)
    await lab.stop_agent(node, kill=True)
    lab.start_agent(node)
    await lab.until(lambda: lab.agent_ready(node))
    assert {await lab.get(address, 80, client) for _ in range(20)} == {first}

    gone = int(first.split()[0].removeprefix("server-"))
    await lab.endpoints("web", HTTP, [pod for index, pod in enumerate(pods) if index != gone])
    await lab.until(lambda: _moved(lab, address, client, first))
    second = await lab.get(address, 80, client)
    assert {await lab.get(address, 80, client) for _ in range(20)} == {second}


async def _moved(lab: Lab, address: str, client: object, first: str) -> bool:
    answer = await lab.get(address, 80, client)  # type: ignore[arg-type]  # Pod, Node or None
    return answer.startswith("server-") and answer != first


async def test_node_ports_answer_on_every_node_and_local_policy_keeps_the_clients_address(lab: Lab) -> None:
    one, two = await lab.add_node(1), await lab.add_node(2)
    pod = lab.add_pod(two)
    lab.serve(pod, 8080, "server-0")
    spread = await lab.service("spread", HTTP, [pod], type="NodePort")
    local = await lab.service("local", HTTP, [pod], type="NodePort", externalTrafficPolicy="Local")
    port, local_port = (s["spec"]["ports"][0]["nodePort"] for s in (spread, local))

    await lab.until(lambda: _serves(lab, one.address, port, None))
    assert await lab.get(one.address, port) == f"server-0 {one.address} /", "masqueraded by the node it came to"
    await lab.until(lambda: _serves(lab, two.address, local_port, None))
    assert await lab.get(two.address, local_port) == f"server-0 {lab.network.host_address} /"
    await lab.until(lambda: _times_out(lab, one.address, local_port))  # no endpoint here: dropped, not refused
    client = lab.add_pod(one)
    assert await lab.get(one.address, local_port, client) == f"server-0 {client.address} /", "pods are inside already"


async def _times_out(lab: Lab, address: str, port: int) -> bool:
    return await lab.get(address, port, timeout=0.3) == "timeout"


async def test_a_load_balancer_gets_an_address_that_the_host_reaches(lab: Lab) -> None:
    node = await lab.add_node(1)
    pod = lab.add_pod(node)
    lab.serve(pod, 8080, "server-0")
    await lab.service("web", HTTP, [pod], type="LoadBalancer")
    client = lab.api.client()

    async def ingress() -> str:
        status = (await client.get("services", "web", "default"))["status"].get("loadBalancer", {})
        return (status.get("ingress") or [{"ip": ""}])[0]["ip"]

    await lab.until(ingress)
    address = await ingress()
    await lab.until(lambda: _serves(lab, address, 80, None))
    assert await lab.get(address, 81) == "refused", "a port that nothing serves"

    ranges = {"spec": {"loadBalancerSourceRanges": ["203.0.113.0/24"]}}
    await client.patch("services", "web", ranges, "default")
    await lab.until(lambda: _times_out(lab, address, 80))

    await client.patch("services", "web", {"spec": {"type": "ClusterIP", "loadBalancerSourceRanges": None}}, "default")
    await lab.until(lambda: _no(ingress))


async def _no(condition: object) -> bool:
    return not await condition()  # type: ignore[operator]  # an async function


async def test_a_local_load_balancer_is_reached_on_whichever_node_its_endpoints_are(lab: Lab) -> None:
    nodes = [await lab.add_node(number) for number in (1, 2, 3)]
    pods = [lab.add_pod(node) for node in nodes]
    for index, pod in enumerate(pods):
        lab.serve(pod, 8080, f"server-{index}")
    await lab.service("web", HTTP, [pods[1]], type="LoadBalancer", externalTrafficPolicy="Local")
    host = lab.network.host_address
    address = "10.89.0.129"

    async def answers(*expected: int) -> bool:
        found = {await lab.get(address, 80, timeout=0.5) for _ in range(10)}
        return found == {f"server-{index} {host} /" for index in expected}

    await lab.until(lambda: answers(1))
    await lab.endpoints("web", HTTP, [pods[2]])
    await lab.until(lambda: answers(2))
    await lab.endpoints("web", HTTP, pods[1:])
    await lab.until(lambda: answers(1, 2))
    await lab.endpoints("web", HTTP, pods)
    await lab.until(lambda: answers(0))
    client = lab.add_pod(nodes[1])
    assert (await lab.get(address, 80, client)).split()[1] == client.address, "pods go anywhere, as themselves"
    await lab.endpoints("web", HTTP, [])
    await lab.until(lambda: _is(lab, address, 80, None, "refused"))


async def test_a_udp_client_follows_its_service_to_a_new_endpoint(lab: Lab) -> None:
    node = await lab.add_node(1)
    client, old, new = (lab.add_pod(node) for _ in range(3))
    lab.serve_udp(old, 5353, "server-old")
    lab.serve_udp(new, 5353, "server-new")
    ports = [{"name": "q", "port": 53, "targetPort": 5353, "protocol": "UDP"}]
    service = await lab.service("names", ports, [], type="NodePort")
    address, node_port = service["spec"]["clusterIP"], service["spec"]["ports"][0]["nodePort"]
    with client.socket(2) as sender, client.socket(2) as through_node:
        assert await lab.ask_udp(through_node, node.address, node_port, 0.3) in ("refused", "timeout")
        await lab.endpoints("names", ports, [old])
        await lab.until(lambda: _asks(lab, sender, address, 53, f"server-old {client.address}"))
        await lab.until(lambda: _asks(lab, through_node, node.address, node_port, "server-old"))
        await lab.endpoints("names", ports, [new])
        await lab.until(lambda: _asks(lab, sender, address, 53, f"server-new {client.address}"))
        await lab.until(lambda: _asks(lab, through_node, node.address, node_port, "server-new"))


async def _asks(lab: Lab, sender: object, address: str, port: int, answer: str) -> bool:
    return (await lab.ask_udp(sender, address, port, 0.3)).startswith(answer)  # type: ignore[arg-type]  # a socket


async def test_connections_outlive_the_agent(lab: Lab) -> None:
    node = await lab.add_node(1)
    client, pod = lab.add_pod(node), lab.add_pod(node)
    lab.serve(pod, 8080, "server-0")
    service = await lab.service("web", HTTP, [pod])
    address = service["spec"]["clusterIP"]
    await lab.until(lambda: _serves(lab, address, 80, client))
    connection = client.socket()
    await asyncio.get_running_loop().sock_connect(connection, (address, 80))
    reader, writer = await asyncio.open_connection(sock=connection)

    async def request() -> None:
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        async with asyncio.timeout(2):
            assert b"200" in await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(len(f"server-0 {client.address} /"))

    await request()
    await lab.stop_agent(node)
    await request()
    assert await _serves(lab, address, 80, client), "new connections too"
    lab.start_agent(node)
    await lab.until(lambda: lab.agent_ready(node))
    await request()
    writer.close()


async def test_what_runs_on_the_node_is_not_masqueraded_as_its_dns_server(lab: Lab) -> None:
    node = await lab.add_node(1)
    lab.serve(node, 8080, "node")
    service = await lab.service("web", HTTP, [])
    address = service["spec"]["clusterIP"]
    await lab.endpoints("web", HTTP, [{"addresses": [node.address], "nodeName": node.name, "conditions": {}}])

    async def answered() -> bool:
        try:
            _, body = await lab.http(address, 80, where=node.path)
        except OSError:
            return False
        assert body.split()[1] in (node.address, node.gateway)
        return True

    await lab.until(answered)


async def test_further_service_ranges_lead_nowhere_but_to_services(lab: Lab) -> None:
    node = await lab.add_node(1)
    client = lab.api.client()
    extra = {"metadata": {"name": "extra"}, "spec": {"cidrs": ["10.151.0.0/24"]}}

    async def dropped(wanted: bool) -> bool:
        return ("10.151.0.0/24 drop" in node.nft("list", "chain", "ip", "pynetes", "nowhere")) is wanted

    await client.create("servicecidrs.networking.k8s.io", extra)
    await lab.until(lambda: dropped(True))
    await client.delete("servicecidrs.networking.k8s.io", "extra")
    await lab.until(lambda: dropped(False))


async def test_a_load_balancer_is_cleaned_up_before_its_service_goes(lab: Lab) -> None:
    await lab.add_node(1)
    await lab.service("web", HTTP, [], type="LoadBalancer")
    client = lab.api.client()

    async def is_balanced(wanted: bool) -> bool:
        service = await client.get("services", "web", "default")
        found = service["metadata"].get("finalizers"), bool(service["status"]["loadBalancer"].get("ingress"))
        return found == ((["service.kubernetes.io/load-balancer-cleanup"], True) if wanted else (None, False))

    async def is_gone() -> bool:
        return not (await client.list("services", "default", field_selector="metadata.name=web")).items

    await lab.until(lambda: is_balanced(True))
    await client.patch("services", "web", {"spec": {"type": "ClusterIP"}}, "default")
    await lab.until(lambda: is_balanced(False))
    await client.patch("services", "web", {"spec": {"type": "LoadBalancer"}}, "default")
    await lab.until(lambda: is_balanced(True))
    await client.delete("services", "web", "default")
    await lab.until(is_gone)

    async def told() -> bool:
        reasons = [event["reason"] for event in (await client.list("events", "default")).items]
        return {"Type", "EnsuringLoadBalancer", "EnsuredLoadBalancer", "DeletingLoadBalancer"} <= {*reasons}

    await lab.until(told)


async def test_a_health_check_port_counts_this_nodes_ready_endpoints(lab: Lab) -> None:
    one, two = await lab.add_node(1), await lab.add_node(2)
    pods = [lab.add_pod(one), lab.add_pod(one)]
    service = await lab.service("web", HTTP, pods, type="LoadBalancer", externalTrafficPolicy="Local")
    port = service["spec"]["healthCheckNodePort"]

    async def answers(address: str, status: int) -> bool:
        try:
            found = await lab.http(address, port)
        except ConnectionRefusedError:
            return False
        return found[0] == status and f'"localEndpoints":{2 if status == 200 else 0}' in found[1]

    await lab.until(lambda: answers(one.address, 200))
    await lab.until(lambda: answers(two.address, 503))


async def test_endpoints_that_terminate_serve_while_there_is_no_other(lab: Lab) -> None:
    node = await lab.add_node(1)
    client, ending, fresh = (lab.add_pod(node) for _ in range(3))
    lab.serve(ending, 8080, "server-ending")
    lab.serve(fresh, 8080, "server-fresh")
    ports = HTTP
    service = await lab.service("web", ports, [ending])
    address = service["spec"]["clusterIP"]
    await lab.until(lambda: _serves(lab, address, 80, client))
    terminating = {
        "addresses": [ending.address],
        "nodeName": node.name,
        "conditions": {"ready": False, "serving": True, "terminating": True},
    }
    await lab.endpoints("web", ports, [terminating])
    await asyncio.sleep(0.3)
    assert (await lab.get(address, 80, client)).startswith("server-ending")
    await lab.endpoints("web", ports, [terminating, fresh])
    await lab.until(lambda: _is(lab, address, 80, client, f"server-fresh {client.address} /"))
    assert {(await lab.get(address, 80, client)).split()[0] for _ in range(10)} == {"server-fresh"}


async def test_a_table_that_somebody_swept_away_comes_back_with_the_next_change(lab: Lab) -> None:
    node = await lab.add_node(1)
    client, pod = lab.add_pod(node), lab.add_pod(node)
    lab.serve(pod, 8080, "server-0")
    first = await lab.service("first", HTTP, [pod])
    await lab.until(lambda: _serves(lab, first["spec"]["clusterIP"], 80, client))
    node.nft("flush", "ruleset")
    second = await lab.service("second", HTTP, [pod])
    await lab.until(lambda: _serves(lab, second["spec"]["clusterIP"], 80, client))
    assert await _serves(lab, first["spec"]["clusterIP"], 80, client)


async def test_external_ips_and_traffic_policies_by_zone(lab: Lab) -> None:
    node = await lab.add_node(1)
    client, near, far = (lab.add_pod(node) for _ in range(3))
    lab.serve(near, 8080, "server-near")
    lab.serve(far, 8080, "server-far")
    service = await lab.service("web", HTTP, [], externalIPs=["198.51.100.7"])
    hinted = [
        {
            "addresses": [pod.address],
            "nodeName": node.name,
            "conditions": {"ready": True},
            "hints": {"forZones": [{"name": zone}]},
        }
        for pod, zone in ((near, "zone-a"), (far, "zone-b"))
    ]
    await lab.endpoints("web", HTTP, hinted)
    await lab.until(lambda: _serves(lab, "198.51.100.7", 80, client))
    address = service["spec"]["clusterIP"]
    assert len({await lab.get(address, 80, client) for _ in range(20)}) == 2, "the node's zone is unknown"
    labels = {"metadata": {"labels": {"topology.kubernetes.io/zone": "zone-b"}}}
    await lab.api.client().patch("nodes", node.name, labels)
    await asyncio.sleep(0.3)
    assert {(await lab.get(address, 80, client)).split()[0] for _ in range(20)} == {"server-far"}
