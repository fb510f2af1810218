"""Satisfiability: can every query that the API schema allows be resolved by moving between the subgraphs?"""

from gateway.federation.composition.satisfiability.walk import check_satisfiability

__all__ = ["check_satisfiability"]
