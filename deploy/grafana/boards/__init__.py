"""All dashboards, in the order in which one asks."""

from __future__ import annotations

import json
from pathlib import Path

from deploy.grafana.board import Board
from deploy.grafana.boards import adapters, cost, engine, overview, retrieval, rollouts, routes

BOARDS = (overview.BOARD, routes.BOARD, adapters.BOARD, retrieval.BOARD, rollouts.BOARD, cost.BOARD, engine.BOARD)
FOLDER = Path(__file__).parents[1] / "dashboards"


def rendered(board: Board) -> str:
    """What the dashboard's file has to be."""
    return json.dumps(board.as_json(), indent=1, ensure_ascii=False) + "\n"
