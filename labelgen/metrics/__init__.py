"""Metrics: one pair of functions and one line each."""

from collections.abc import Mapping

from labelgen.base.registry import Registry
from labelgen.data.labels import TRANSCRIPTION, Unit

METRICS = Registry(
    "labelgen.metrics",
    {
        "accuracy": "labelgen.metrics.categories:accuracy",
        "macro_f1": "labelgen.metrics.categories:macro_f1",
        "failure_f1": "labelgen.metrics.categories:failure_f1",
        "bad_f1": "labelgen.metrics.categories:bad_f1",
        "uar": "labelgen.metrics.categories:uar",
        "cohen_kappa": "labelgen.metrics.categories:cohen_kappa",
        "failure_auprc": "labelgen.metrics.scores:failure_auprc",
        "matched_failure_auprc": "labelgen.metrics.scores:matched_failure_auprc",
        "bad_auprc": "labelgen.metrics.scores:bad_auprc",
        "log_loss": "labelgen.metrics.scores:log_loss",
        "ece": "labelgen.metrics.scores:ece",
        "spearman_rho": "labelgen.metrics.scores:spearman_rho",
        "intent_accuracy": "labelgen.metrics.sets:set_accuracy",
        "intent_macro_f1": "labelgen.metrics.sets:name_macro_f1",
        "frame_accuracy": "labelgen.metrics.sets:set_accuracy",
        "slot_turn_accuracy": "labelgen.metrics.sets:set_accuracy",
        "slot_span_f1": "labelgen.metrics.sets:label_f1",
        "slot_value_f1": "labelgen.metrics.sets:value_f1",
        "slot_normalized_f1": "labelgen.metrics.sets:normalized_f1",
        "word_error_rate": "labelgen.metrics.sets:word_error_rate",
        "request_accuracy": "labelgen.metrics.sets:request_accuracy",
        "exact_goal_f1": "labelgen.metrics.sets:label_f1",
        "b_cubed_f1": "labelgen.metrics.segmentation:b_cubed_f1",
        "boundary_f1": "labelgen.metrics.segmentation:boundary_f1",
        "pk": "labelgen.metrics.segmentation:pk",
        "window_diff": "labelgen.metrics.segmentation:window_diff",
        "variation_of_information": "labelgen.metrics.segmentation:variation_of_information",
        "one_to_one": "labelgen.metrics.segmentation:one_to_one",
        "exact_goal_f1_several": "labelgen.metrics.segmentation:exact_goal_f1_several",
    },
)

WITHOUT_HEAD: Mapping[str, tuple[tuple[Unit, ...], tuple[str, ...]]] = {
    TRANSCRIPTION: (("turn",), ("word_error_rate", "request_accuracy"))
}
"""Tasks that no head of a model labels: their units and metrics."""
