"""The graph as data: snapshots, nodes, their origins, and what keeps them alive."""
