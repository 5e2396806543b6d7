"""What a server serves: each agent's manifest, and the runner that takes its calls."""

from runagent_grpc.agents.catalogue import AgentCatalogue, ServedAgent

__all__ = ["AgentCatalogue", "ServedAgent"]
