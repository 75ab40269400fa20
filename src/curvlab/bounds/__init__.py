"""Bounds on the robust loss, certified radii and the constants they rest on."""

from curvlab.bounds.certificates import (
    Certificate,
    certify,
    dual_radius,
    local_lipschitz_radius,
)
from curvlab.bounds.constants import Constants, activation_ranges, network_constants
from curvlab.bounds.radii import (
    CureInterval,
    attack_radius,
    combined_radius,
    cure_interval,
    curvature_radius,
)
from curvlab.bounds.robust_loss import (
    FirstOrder,
    Quadratic,
    Sandwich,
    certified_loss,
    first_order,
    loss_curvature,
    quadratic_maximum,
    sandwich,
)
from curvlab.bounds.smoothing import (
    ABSTAIN,
    Smoothed,
    Smoothness,
    clopper_pearson,
    cohen_radius,
    smoothed_certificate,
    smoothing_constants,
)

__all__ = [
    "ABSTAIN",
    "Certificate",
    "Constants",
    "CureInterval",
    "FirstOrder",
    "Quadratic",
    "Sandwich",
    "Smoothed",
    "Smoothness",
    "activation_ranges",
    "attack_radius",
    "certified_loss",
    "certify",
    "clopper_pearson",
    "cohen_radius",
    "combined_radius",
    "cure_interval",
    "curvature_radius",
    "dual_radius",
    "first_order",
    "local_lipschitz_radius",
    "loss_curvature",
    "network_constants",
    "quadratic_maximum",
    "sandwich",
    "smoothed_certificate",
    "smoothing_constants",
]
