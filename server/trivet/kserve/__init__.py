"""KServe's Open Inference Protocol v2 over gRPC, onto the same pipeline as the contract; Triton's clients work too."""

from trivet.kserve.inference import Inferences
from trivet.kserve.servicer import SERVICE, InferenceModels, OpenInferenceServicer, add_to_server

__all__ = ["SERVICE", "InferenceModels", "Inferences", "OpenInferenceServicer", "add_to_server"]
