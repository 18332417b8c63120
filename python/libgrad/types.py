"""The types of libgrad's results: for annotations, isinstance, and help."""

from __future__ import annotations

from ._C import (
    CallSite,
    ChainCosts,
    ChangedNode,
    Finding,
    FindingWrite,
    Graph,
    GraphDiff,
    GraphEdge,
    GraphEnd,
    GraphInput,
    GraphNode,
    GraphPlan,
    GraphRoot,
    GraphStorage,
    GraphWhy,
    InputMetadata,
    Node,
    PlanStep,
    SavedTensor,
    UnusedParam,
    UnusedParams,
)
from ._check.report import Report, Row
from ._doctor.freeze import Frozen
from ._doctor.report import Findings
from ._functional.linear import LinearOperator
from ._gradcheck import GradcheckEntry, GradcheckError, GradcheckStep
from ._graph.alive import AliveGraph, AliveGraphs
from ._graph.referrers import Holder

__all__ = [
    "AliveGraph",
    "AliveGraphs",
    "CallSite",
    "ChainCosts",
    "ChangedNode",
    "Finding",
    "FindingWrite",
    "Findings",
    "Frozen",
    "GradcheckEntry",
    "GradcheckError",
    "GradcheckStep",
    "Graph",
    "GraphDiff",
    "GraphEdge",
    "GraphEnd",
    "GraphInput",
    "GraphNode",
    "GraphPlan",
    "GraphRoot",
    "GraphStorage",
    "GraphWhy",
    "Holder",
    "InputMetadata",
    "LinearOperator",
    "Node",
    "PlanStep",
    "Report",
    "Row",
    "SavedTensor",
    "UnusedParam",
    "UnusedParams",
]
