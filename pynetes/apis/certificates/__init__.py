"""The certificates.k8s.io group."""

from pynetes.apis.certificates.certificate_signing_request import CertificateSigningRequestStrategy
from pynetes.apis.certificates.cluster_trust_bundle import ClusterTrustBundleStrategy
from pynetes.apis.certificates.pod_certificate_request import PodCertificateRequestStrategy
from pynetes.apis.strategy import Strategy

STRATEGIES: dict[str, type[Strategy]] = {
    "certificatesigningrequests.certificates.k8s.io": CertificateSigningRequestStrategy,
    "clustertrustbundles.certificates.k8s.io": ClusterTrustBundleStrategy,
    "podcertificaterequests.certificates.k8s.io": PodCertificateRequestStrategy,
}
