"""The controller manager: one process, one connection's caches, all controllers.

`CONTROLLERS` is the table of contents of this package. All of them share one set of informers; each acts as its own
service account if `--use-service-account-credentials` says so.
"""

import asyncio
import json
import logging
import socket
import sys
from collections.abc import Sequence

from pynetes.client.client import Client
from pynetes.client.leader import LeaderConfig, LeaderElector
from pynetes.client.startup import healthy
from pynetes.controllers.autoscaling import HorizontalPodAutoscalerController
from pynetes.controllers.bootstrap_tokens import BootstrapSigner, TokenCleaner
from pynetes.controllers.certificates import (
    CertificateApprover,
    CertificateCleaner,
    CertificateSigner,
    PodCertificateRequestCleaner,
)
from pynetes.controllers.clusterrole_aggregation import ClusterRoleAggregationController
from pynetes.controllers.controller import Context, Controller
from pynetes.controllers.credentials import account_client
from pynetes.controllers.cronjob import CronJobController
from pynetes.controllers.daemonset import DaemonSetController
from pynetes.controllers.deployment import DeploymentController
from pynetes.controllers.disruption import DisruptionController
from pynetes.controllers.endpoints import EndpointsController
from pynetes.controllers.endpointslice import EndpointSliceController
from pynetes.controllers.endpointslice_mirroring import EndpointSliceMirroringController
from pynetes.controllers.ephemeral_volume import EphemeralVolumeController
from pynetes.controllers.garbage_collector import GarbageCollector
from pynetes.controllers.job import JobController
from pynetes.controllers.local_volumes import LocalVolumeProvisioner
from pynetes.controllers.namespace import NamespaceController
from pynetes.controllers.node_ipam import NodeIpamController
from pynetes.controllers.node_lifecycle import NodeLifecycleController
from pynetes.controllers.node_ttl import NodeTTLController
from pynetes.controllers.options import Options, parse
from pynetes.controllers.podgc import PodGarbageCollector
from pynetes.controllers.protection import AttributesClassProtection, ClaimProtection, VolumeProtection
from pynetes.controllers.replicaset import ReplicaSetController, ReplicationControllerController
from pynetes.controllers.resource_quota import ResourceQuotaController
from pynetes.controllers.service_cidrs import ServiceCIDRController
from pynetes.controllers.serviceaccount import RootCAPublisher, ServiceAccountController
from pynetes.controllers.serviceaccount_token import ServiceAccountTokenController
from pynetes.controllers.serviceaccount_token_legacy import LegacyTokenGenerator
from pynetes.controllers.statefulset import StatefulSetController
from pynetes.controllers.taint_eviction import TaintEvictionController
from pynetes.controllers.ttl_after_finished import TTLAfterFinishedController
from pynetes.controllers.volume_binder import VolumeBinder
from pynetes.controllers.volume_expander import VolumeExpander
from pynetes.machinery import logs, meta
from pynetes.machinery.process import run_until_stopped, until

log = logging.getLogger(__name__)

CONTROLLERS: tuple[type[Controller], ...] = (
    DeploymentController,
    ReplicaSetController,
    ReplicationControllerController,
    StatefulSetController,
    DaemonSetController,
    JobController,
    CronJobController,
    DisruptionController,
    EndpointsController,
    EndpointSliceController,
    EndpointSliceMirroringController,
    NamespaceController,
    ServiceAccountController,
    RootCAPublisher,
    ServiceAccountTokenController,
    LegacyTokenGenerator,
    PodGarbageCollector,
    NodeLifecycleController,
    TaintEvictionController,
    NodeIpamController,
    CertificateApprover,
    CertificateSigner,
    CertificateCleaner,
    PodCertificateRequestCleaner,
    ClusterRoleAggregationController,
    TTLAfterFinishedController,
    HorizontalPodAutoscalerController,
    ResourceQuotaController,
    ServiceCIDRController,
    NodeTTLController,
    VolumeBinder,
    VolumeExpander,
    LocalVolumeProvisioner,
    EphemeralVolumeController,
    ClaimProtection,
    VolumeProtection,
    AttributesClassProtection,
    GarbageCollector,
    BootstrapSigner,
    TokenCleaner,
)


async def run(options: Options, stop: asyncio.Event, client: Client | None = None) -> None:
    """Run the chosen controllers until `stop` is set; raises LeadershipLost if another took over."""
    own = client is None
    client = client or Client.from_kubeconfig(options.kubeconfig, user_agent="kube-controller-manager/pynetes")

    async def work() -> None:
        await healthy(client)
        await (_lead(client, options) if options.leader_elect else _work(client, options))

    try:
        await until(stop, work())
    finally:
        if own:
            await client.close()


async def _lead(client: Client, options: Options) -> None:
    config = LeaderConfig(
        name=options.leader_elect_resource_name,
        namespace=options.leader_elect_resource_namespace,
        identity=f"{socket.gethostname()}_{meta.new_uid()}",
        lease_duration=options.leader_elect_lease_duration,
        renew_deadline=options.leader_elect_renew_deadline,
        retry_period=options.leader_elect_retry_period,
    )
    await LeaderElector(client, config).run(lambda: _work(client, options))


async def _work(client: Client, options: Options) -> None:
    """All controllers over one set of informers."""
    accounts: dict[str, Client] = {}

    def client_for(account: str) -> Client:
        if not options.use_service_account_credentials:
            return client
        if account not in accounts:
            accounts[account] = account_client(client, account)
        return accounts[account]

    context = Context(client, options, client_for)
    controllers = [kind(context) for kind in CONTROLLERS if options.enabled(kind.name, kind.on_by_default)]
    log.info("starting %d controllers", len(controllers))
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(context.informers.run(), name="informers")
            for controller in controllers:
                group.create_task(controller.run(), name=controller.name)
    finally:
        await asyncio.gather(*(each.close() for each in accounts.values()))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    options = parse(arguments)
    if unknown := options.unknown(kind.name for kind in CONTROLLERS):
        for name in unknown:
            print(f"{json.dumps(name)} is not in the list of known controllers", file=sys.stderr)
        return 1
    logs.setup(options.verbosity)
    return run_until_stopped(lambda stop: run(options, stop))
