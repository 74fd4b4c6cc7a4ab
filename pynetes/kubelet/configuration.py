"""What `/configz` tells: the settings in force as a KubeletConfiguration.

Most fields are upstream's defaults; what a flag of ours decides comes from the options. A field that stands for
something this kubelet does in its own way (such as how it watches objects) says what upstream would call it.
"""

from pynetes.kubelet.options import Options
from pynetes.machinery import clock
from pynetes.machinery.meta import Obj

DEFAULTS: Obj = {
    "enableServer": True,
    "syncFrequency": "1m0s",
    "fileCheckFrequency": "20s",
    "httpCheckFrequency": "20s",
    "authorization": {
        "mode": "Webhook",
        "webhook": {"cacheAuthorizedTTL": "30s", "cacheUnauthorizedTTL": "30s"},
    },
    "registryPullQPS": 5,
    "registryBurst": 10,
    "imagePullCredentialsVerificationPolicy": "NeverVerifyPreloadedImages",
    "eventRecordQPS": 50,
    "eventBurst": 100,
    "enableDebuggingHandlers": True,
    "healthzPort": 0,
    "oomScoreAdj": -999,
    "streamingConnectionIdleTimeout": "4h0m0s",
    "imageMaximumGCAge": "0s",
    "volumeStatsAggPeriod": "1m0s",
    "cgroupsPerQOS": True,
    "cgroupDriver": "cgroupfs",
    "cpuManagerPolicy": "none",
    "cpuManagerReconcilePeriod": "10s",
    "memoryManagerPolicy": "None",
    "topologyManagerPolicy": "none",
    "topologyManagerScope": "container",
    "runtimeRequestTimeout": "2m0s",
    "hairpinMode": "promiscuous-bridge",
    "cpuCFSQuota": True,
    "cpuCFSQuotaPeriod": "100ms",
    "nodeStatusMaxImages": 50,
    "maxOpenFiles": 1000000,
    "contentType": "application/json",
    "kubeAPIQPS": 50,
    "kubeAPIBurst": 100,
    "serializeImagePulls": False,
    "maxParallelImagePulls": 5,
    "evictionPressureTransitionPeriod": "5m0s",
    "mergeDefaultEvictionSettings": False,
    "enableControllerAttachDetach": True,
    "makeIPTablesUtilChains": True,
    "iptablesMasqueradeBit": 14,
    "iptablesDropBit": 15,
    "failSwapOn": False,
    "memorySwap": {},
    "containerLogMaxWorkers": 1,
    "containerLogMonitorInterval": "10s",
    "configMapAndSecretChangeDetectionStrategy": "Watch",
    "enforceNodeAllocatable": ["pods"],
    "volumePluginDir": "/usr/libexec/kubernetes/kubelet-plugins/volume/exec/",
    "logging": {
        "format": "text",
        "flushFrequency": "5s",
        "verbosity": 0,
        "options": {"text": {"infoBufferSize": "0"}, "json": {"infoBufferSize": "0"}},
    },
    "enableSystemLogHandler": True,
    "enableSystemLogQuery": False,
    "shutdownGracePeriod": "0s",
    "shutdownGracePeriodCriticalPods": "0s",
    "crashLoopBackOff": {},
    "enableProfilingHandler": False,
    "enableDebugFlagsHandler": False,
    "seccompDefault": False,
    "memoryThrottlingFactor": 0.9,
    "localStorageCapacityIsolation": True,
}


def configuration(options: Options) -> Obj:
    """The KubeletConfiguration in force."""
    duration = clock.format_duration
    own: Obj = {
        "podLogsDir": str(options.logs_root),
        "staticPodPath": options.pod_manifest_path,
        "address": options.address,
        "port": options.port,
        "tlsCertFile": options.tls_cert_file,
        "tlsPrivateKeyFile": options.tls_private_key_file,
        "authentication": {
            "x509": {"clientCAFile": options.client_ca_file},
            "webhook": {"enabled": True, "cacheTTL": "0s"},
            "anonymous": {"enabled": False},
        },
        "clusterDomain": options.cluster_domain,
        "clusterDNS": options.cluster_dns,
        "nodeStatusUpdateFrequency": duration(options.node_status_update_frequency),
        "nodeStatusReportFrequency": duration(options.node_status_report_frequency),
        "nodeLeaseDurationSeconds": options.node_lease_duration_seconds,
        "imageMinimumGCAge": duration(options.minimum_image_ttl_duration),
        "imageGCHighThresholdPercent": options.image_gc_high_threshold,
        "imageGCLowThresholdPercent": options.image_gc_low_threshold,
        "cgroupRoot": options.cgroup_root,
        "maxPods": options.max_pods,
        "podPidsLimit": options.pod_max_pids,
        "resolvConf": options.resolv_conf,
        "evictionHard": options.eviction_hard,
        "systemReserved": options.system_reserved,
        "kubeReserved": options.kube_reserved,
        "allowedUnsafeSysctls": options.allowed_unsafe_sysctls,
        "containerLogMaxSize": options.container_log_max_size,
        "containerLogMaxFiles": options.container_log_max_files,
        "registerNode": options.register_node,
        "containerRuntimeEndpoint": options.container_runtime_endpoint,
    }
    kind = {"kind": "KubeletConfiguration", "apiVersion": "kubelet.config.k8s.io/v1beta1"}
    return {**DEFAULTS, **{key: value for key, value in own.items() if value not in ("", [], {})}, **kind}
