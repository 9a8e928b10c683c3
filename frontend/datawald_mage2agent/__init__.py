"""A project's agent for Magento 2, to be copied: what this one customer does differently, and nothing else."""

from datawald_mage2agent.agent import Mage2Agent

__all__ = ["Mage2Agent"]
