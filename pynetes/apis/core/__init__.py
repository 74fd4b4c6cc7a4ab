"""The core group: pods and what they stand on."""

from pynetes.apis.core.component_status import ComponentStatusStrategy
from pynetes.apis.core.config import ConfigMapStrategy, SecretStrategy, ServiceAccountStrategy
from pynetes.apis.core.endpoints import EndpointsStrategy
from pynetes.apis.core.event import EventStrategy
from pynetes.apis.core.namespace import NamespaceStrategy
from pynetes.apis.core.node import NodeStrategy
from pynetes.apis.core.persistent_volume import PersistentVolumeStrategy
from pynetes.apis.core.persistent_volume_claim import PersistentVolumeClaimStrategy
from pynetes.apis.core.pod import PodStrategy, PodTemplateStrategy
from pynetes.apis.core.quota import LimitRangeStrategy, ResourceQuotaStrategy
from pynetes.apis.core.replication_controller import ReplicationControllerStrategy
from pynetes.apis.core.service import ServiceStrategy
from pynetes.apis.strategy import Strategy

STRATEGIES: dict[str, type[Strategy]] = {
    "componentstatuses": ComponentStatusStrategy,
    "configmaps": ConfigMapStrategy,
    "endpoints": EndpointsStrategy,
    "events": EventStrategy,
    "limitranges": LimitRangeStrategy,
    "namespaces": NamespaceStrategy,
    "nodes": NodeStrategy,
    "persistentvolumeclaims": PersistentVolumeClaimStrategy,
    "persistentvolumes": PersistentVolumeStrategy,
    "pods": PodStrategy,
    "podtemplates": PodTemplateStrategy,
    "replicationcontrollers": ReplicationControllerStrategy,
    "resourcequotas": ResourceQuotaStrategy,
    "secrets": SecretStrategy,
    "serviceaccounts": ServiceAccountStrategy,
    "services": ServiceStrategy,
}
