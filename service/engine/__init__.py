"""Engines: what runs a bundle."""

from service.engine.engine import Engine, OnnxEngine, TorchEngine

__all__ = ["Engine", "OnnxEngine", "TorchEngine"]
